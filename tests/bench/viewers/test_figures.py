from bench.viewers.figures import ViewerFigures


def test_silence_becomes_a_stall():
    figures = ViewerFigures(started_at=9.0, media_at=10.0, last_at=10.0)
    for now in (10.5, 11.0, 12.5, 12.6):
        figures.arrived(100, now)
    assert (figures.bytes, figures.stalls, figures.longest_silence) == (400, 1, 1.5)
    assert figures.startup_seconds == 1.0


def test_the_steady_interval_begins_anew_and_its_end_counts():
    figures = ViewerFigures(started_at=9.0, media_at=10.0, last_at=10.0)
    figures.arrived(100, 12.0)
    figures.restart(12.1)
    figures.finish(14.0)
    assert (figures.bytes, figures.stalls) == (0, 1)
    assert figures.startup_seconds == 1.0


def test_a_viewer_without_media_has_no_startup_time():
    assert ViewerFigures(started_at=1.0).startup_seconds is None
