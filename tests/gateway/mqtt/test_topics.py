from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.topics import Topics

IDS = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)


def test_topics_are_those_of_the_contract():
    topics = Topics(station="iss", gateway="pi1")
    assert topics.base == "manovac/v1/iss"
    assert (
        topics.reading(segment="zvezda", quantity="pressure", transducer="sm_p1")
        == "manovac/v1/iss/seg/zvezda/pressure/sm_p1"
    )
    assert topics.batch("prk") == "manovac/v1/iss/seg/prk/batch"
    assert topics.status == "manovac/v1/iss/gw/pi1/status"
    assert topics.meta == "manovac/v1/iss/gw/pi1/meta"
    assert topics.health == "manovac/v1/iss/gw/pi1/health"


@given(station=IDS, gateway=IDS, segment=IDS, transducer=IDS)
def test_no_id_of_a_rig_file_makes_two_topics_the_same(station, gateway, segment, transducer):
    topics = Topics(station=station, gateway=gateway)
    all_topics = [
        topics.reading(segment=segment, quantity="pressure", transducer=transducer),
        topics.reading(segment=segment, quantity="temperature", transducer=transducer),
        topics.batch(segment),
        topics.status,
        topics.meta,
        topics.health,
    ]
    assert len(set(all_topics)) == 6
    assert not any(set(topic) & set("#+$. ") for topic in all_topics)
