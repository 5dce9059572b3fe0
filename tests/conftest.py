"""Fixtures of the system and interop tests; system/harness.py has what they give. Environment: SPINDLE_BIN (default
build/bin), SPINDLE_BIN_AGENT and SPINDLE_BIN_SIDECAR (one program's own folder), SPINDLE_SLOW (factor for deadlines), SPINDLE_KEEP (leave the temporary folders),
CI=true (a missing prerequisite fails instead of skipping)."""
import pytest

import harness

LOG_TAIL = 12000


@pytest.fixture
def site(request):
    """A folder and whatever programs the test starts in it; all gone afterwards."""
    place = harness.Site()
    request.node.spindle_site = place
    yield place
    problems = place.close()
    texts = logs(place)
    place.remove()
    if problems:
        request.node.spindle_site = None
        pytest.fail("\n".join([*problems, *(f"--- {name}\n{text}" for name, text in texts)]), pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of its programs."""
    report = (yield).get_result()
    place = getattr(item, "spindle_site", None)
    if report.failed and place and call.when == "call":
        report.sections.extend(logs(place))


def logs(place):
    """(title, text) of the end of each program's log."""
    seen = {program.log_path: program for program in place.programs}
    return [(f"{p.name}.log, exit code {p.process.poll()}", p.log()[-LOG_TAIL:]) for p in seen.values()]
