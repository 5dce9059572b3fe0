"""The harness of the system tests (tests/system), fixtures and report hook included."""
import importlib.util
import pathlib
import sys

SYSTEM = pathlib.Path(__file__).resolve().parents[1] / "system"
sys.path.insert(0, str(SYSTEM))

spec = importlib.util.spec_from_file_location("system_conftest", SYSTEM / "conftest.py")
system_conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(system_conftest)

site = system_conftest.site
pytest_runtest_makereport = system_conftest.pytest_runtest_makereport
