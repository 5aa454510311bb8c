import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.wire.vaisala_form import FormError, Quantity, parse, render

P = Quantity(value=998.126, unit="hPa", length=(4, 2))
T = Quantity(value=22.5, unit="'C", length=(3, 2))
FIELDS = {"ADDR": "  7", "ERR": "0  ", "MCTR": "42", "PSTAB": "OK", "SN": "A1"}


def message(form):
    return render(parse(form), {"P": P, "P1": P, "TP1": T}, FIELDS)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("P", b" 998.13"),
        ("4.3 P", b" 998.126"),
        ("5.0 P", b"  998"),
        ("4.3 P 0.0 TP1", b" 998.126 22.50"),
        ("P2", b"*******"),
        ("4.1 p3", b"******"),
        ("P U", b" 998.13hPa"),
        ("P U5 TP1 U1", b" 998.13hPa   22.50'"),
        ('"P=" P " "  U3#r#n', b"P= 998.13 hPa\r\n"),
        ("ADDR SN ERR MCTR PSTAB", b"  7A10  42OK"),
        ("#001 \\T #T \\065 #RN", b"\x01\t\tA\r\n"),
        ('"AB" CS2', b"AB83"),
        ('"AB" CS4', b"AB0083"),
        ('"$AB*" CSX', b"$AB*03"),
        ('4.2P""P1', b" 998.13 998.13"),
    ],
)
def test_items(form, expected):
    assert message(form) == expected


@pytest.mark.parametrize("form", ["Q", "P3H", "#256", "4. P", '"open', "#X", "P ?"])
def test_what_is_no_item_is_an_error(form):
    with pytest.raises(FormError):
        parse(form)


@given(form=st.text(alphabet='PTUCSXMRAED12345 .#\\"RN', max_size=80))
def test_any_text_is_a_format_or_an_error_and_its_message_is_bounded(form):
    try:
        items = parse(form)
    except FormError:
        return
    assert len(render(items, {"P": P}, FIELDS)) <= 20 * len(form)
