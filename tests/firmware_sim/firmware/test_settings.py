from firmware_sim.firmware.settings import Settings


def test_what_is_in_force_and_what_outlives_a_loss_of_power():
    settings = Settings({"for good": 0, "saved": 0, "tried": 0, "later": 0})
    settings.put("for good", 1)
    settings.try_out("saved", 1)
    settings.save()
    settings.try_out("tried", 1)
    settings.store("later", 1)
    assert dict(settings.items()) == {"for good": 1, "saved": 1, "tried": 1, "later": 0}
    assert settings.writes == 3
    settings.restore()
    assert dict(settings.items()) == {"for good": 1, "saved": 1, "tried": 0, "later": 1}
    assert (list(settings), "tried" in settings, "other" in settings) == (
        [name for name, _ in settings.items()],
        True,
        False,
    )
