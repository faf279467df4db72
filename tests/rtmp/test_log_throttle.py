from rtmp.log_throttle import LogThrottle


def test_one_line_per_address_and_interval_with_the_count_of_those_left_out() -> None:
    throttle = LogThrottle(interval=10)
    assert throttle.admit("a", 100) == 0
    assert throttle.admit("a", 101) is None
    assert throttle.admit("b", 101) == 0
    assert throttle.admit("a", 109.9) is None
    assert throttle.admit("a", 110) == 2
    assert throttle.admit("a", 111) is None
    assert throttle.admit("a", 121) == 1


def test_memory_is_bounded() -> None:
    throttle = LogThrottle(interval=10, max_addresses=2)
    assert [throttle.admit(address, 0) for address in "abc"] == [0, 0, 0]
    assert throttle.admit("c", 1) is None
    assert throttle.admit("a", 1) == 0
