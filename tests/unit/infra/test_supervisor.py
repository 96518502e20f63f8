"""The supervisor with real child processes, real signals and real deaths."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra import child
from infra.errors import ChildError, PortInUseError
from infra.supervisor import ChildSpec, Supervisor, check_port, free_port, stop_signals

FOREVER = "import time; time.sleep(600)"
READY = "print('ready', flush=True);"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
# Starts a descendant that ignores TERM, and writes down its process id.
PARENT = (
    "import subprocess, sys;"
    f"p = subprocess.Popen([sys.executable, '-c', {STUBBORN + FOREVER!r}]);"
    "open(sys.argv[1], 'w').write(str(p.pid));"
)


def python(name: str, code: str, *arguments: str, **options: object) -> ChildSpec:
    return ChildSpec(name=name, argv=(sys.executable, "-c", code, *arguments), **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is dead; it only waits for its parent to look.
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def gone(pid: int) -> bool:
    """A killed process that is not our child may take a moment to disappear."""
    return eventually(lambda: not alive(pid))


def pid_in(path: Path) -> int:
    assert eventually(lambda: path.exists() and path.read_text().isdigit())
    return int(path.read_text())


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as running:
        yield running


def test_a_child_is_ready_when_it_says_so_and_gone_when_the_context_ends(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        code = f"import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); {READY} {FOREVER}"
        supervisor.start(python("one", code, str(tmp_path / "pid")))
        supervisor.wait_ready()
        pid = pid_in(tmp_path / "pid")
        assert alive(pid)
    assert not alive(pid)


def test_output_goes_to_the_log_and_only_the_ready_line_counts(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    code = (
        "import os, sys; print('not ready', flush=True); sys.stderr.write('trouble\\n');"
        f"print(os.environ['COLOUR'], flush=True); {READY} print('later', flush=True); {FOREVER}"
    )
    supervisor.start(python("one", code, env={"COLOUR": "blue"}))
    supervisor.wait_ready("one")
    log = tmp_path / "one.log"
    assert eventually(lambda: "later" in log.read_text())
    assert sorted(log.read_text().split("\n")) == ["", "blue", "later", "not ready", "trouble"]


def test_the_environment_goes_before_defaults_and_settings_before_both(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLOUR", "blue")
    monkeypatch.setenv("SHAPE", "round")
    code = f"import os; print(*(os.environ[n] for n in ('COLOUR', 'SHAPE', 'SIZE'))); {READY}"
    supervisor.start(
        python(
            *("one", code + FOREVER),
            env={"COLOUR": "red"},
            default_env={"COLOUR": "green", "SHAPE": "square", "SIZE": "small"},
        )
    )
    supervisor.wait_ready()
    assert (tmp_path / "one.log").read_text() == "red round small\n"


def test_a_talkative_child_never_blocks_on_its_stdout(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(python("one", f"{READY} print('x' * 2_000_000, flush=True); {FOREVER}"))
    supervisor.wait_ready()
    assert eventually(lambda: (tmp_path / "one.log").stat().st_size > 2_000_000)


def test_a_probe_decides_for_a_child_that_knows_no_protocol(supervisor: Supervisor) -> None:
    asked: list[int] = []

    def probe(pid: int) -> bool:
        asked.append(pid)
        return len(asked) == 3

    supervisor.start(python("server", FOREVER, probe=probe))
    supervisor.wait_ready()
    assert len(asked) == 3
    assert alive(asked[0])


def test_one_death_names_child_code_and_last_log_line_and_ends_the_others(tmp_path: Path) -> None:
    code = "import sys; print('first', file=sys.stderr); sys.exit('it broke')"
    with pytest.raises(ChildError) as caught, Supervisor(tmp_path) as supervisor:
        supervisor.start(python("patient", PARENT + READY + FOREVER, str(tmp_path / "pid")))
        supervisor.wait_ready()
        supervisor.start(python("breaker", code))
        supervisor.wait()
    assert str(caught.value) == (
        f"breaker ended with exit code 1: it broke (log: {tmp_path / 'breaker.log'})"
    )
    assert gone(pid_in(tmp_path / "pid"))


def test_a_silent_death_is_told_too(supervisor: Supervisor) -> None:
    supervisor.start(python("quiet", "import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(ChildError, match=r"^quiet was killed by SIGKILL and logged nothing$"):
        supervisor.wait_ready()


def test_the_death_of_a_ready_child_is_noticed_while_another_starts(
    supervisor: Supervisor,
) -> None:
    supervisor.start(python("slow", FOREVER), python("breaker", READY + "raise SystemExit(3)"))
    with pytest.raises(ChildError, match="breaker ended with exit code 3"):
        supervisor.wait_ready()


def test_a_child_that_never_gets_ready_is_named(supervisor: Supervisor) -> None:
    supervisor.start(python("slow", FOREVER, start_timeout_s=0.1))
    with pytest.raises(ChildError, match=r"slow was not ready within 0\.1 s"):
        supervisor.wait_ready()


def test_a_program_that_does_not_exist_is_a_dead_child(supervisor: Supervisor) -> None:
    supervisor.start(ChildSpec(name="ghost", argv=("/no/such/program",)))
    with pytest.raises(ChildError, match=r"ghost ended with exit code 1.*No such file"):
        supervisor.wait_ready()


def test_a_child_and_its_descendants_that_ignore_term_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.supervisor.STOP_TIMEOUT_S", 0.2)
    with Supervisor(tmp_path) as supervisor:
        code = STUBBORN + PARENT + READY + FOREVER
        supervisor.start(python("stubborn", code, str(tmp_path / "pid")))
        supervisor.wait_ready()
        descendant = pid_in(tmp_path / "pid")
    assert gone(descendant)


def test_children_started_later_end_earlier(tmp_path: Path) -> None:
    note = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open(sys.argv[1], 'a').write(sys.argv[2])\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"{READY} {FOREVER}"
    )
    with Supervisor(tmp_path) as supervisor:
        for name in ("server ", "client "):
            supervisor.start(python(name.strip(), note, str(tmp_path / "order"), name))
        supervisor.wait_ready()
    assert (tmp_path / "order").read_text() == "client server "


# A program as users run it: a supervisor with a stubborn family, waiting to be stopped.
PROGRAM = f"""
import signal
import sys
from pathlib import Path
from infra.supervisor import ChildSpec, Supervisor, stop_signals
import infra.supervisor
infra.supervisor.STOP_TIMEOUT_S = 0.2
folder = Path(sys.argv[1])
code = {STUBBORN!r} + {PARENT!r} + {READY!r} + {FOREVER!r}
# Tests that were started by nohup begin with it ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
spec = ChildSpec(name="stubborn", argv=(sys.executable, "-c", code, str(folder / "descendant")))
with stop_signals():
    try:
        with Supervisor() as supervisor:
            supervisor.start(spec)
            supervisor.wait_ready()
            (folder / "child").write_text(str(next(supervisor._all()).pid))
            (folder / "logs").write_text(str(supervisor.run_dir))
            print("up", flush=True)
            supervisor.wait()
    except KeyboardInterrupt:
        sys.exit(0 if not supervisor.run_dir.exists() else 5)
"""


def start_program(folder: Path) -> "subprocess.Popen[str]":
    program = subprocess.Popen(
        # SIGINT ignored, as a shell starts a background job.
        ["sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, "-c", PROGRAM, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(child.__file__).parents[1],
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    with start_program(tmp_path) as program:
        program.send_signal(number)
        program.send_signal(number)  # an impatient second one must not cut the cleaning short
        assert program.wait(10) == 0
    assert not alive(pid_in(tmp_path / "child"))
    assert gone(pid_in(tmp_path / "descendant"))


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    with start_program(tmp_path) as program:
        program.kill()
    assert gone(pid_in(tmp_path / "child"))
    assert gone(pid_in(tmp_path / "descendant"))
    assert eventually(lambda: not Path((tmp_path / "logs").read_text()).exists())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own guarantee is Linux only")
def test_the_kernel_ends_children_even_without_the_watchdog(tmp_path: Path) -> None:
    with start_program(tmp_path) as program:
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        patient = pid_in(tmp_path / "child")
        (watchdog,) = (int(pid) for pid in children if int(pid) != patient)
        os.kill(watchdog, signal.SIGKILL)
        program.kill()
    assert gone(patient)
    os.kill(pid_in(tmp_path / "descendant"), signal.SIGKILL)


def test_a_temporary_run_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Supervisor() as supervisor:
        supervisor.start(python("one", READY + FOREVER))
        supervisor.wait_ready()
    with pytest.raises(RuntimeError), Supervisor():
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_only_logs_stay_when_a_child_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ChildError) as caught, Supervisor() as supervisor:
        (supervisor.run_dir / "data").mkdir()
        supervisor.start(python("silent", FOREVER), python("breaker", "raise SystemExit('broke')"))
        supervisor.wait_ready()
    (log,) = supervisor.run_dir.iterdir()
    assert str(caught.value).endswith(f"broke (log: {log})")
    assert log.read_text() == "broke\n"


def test_a_taken_port_names_port_and_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} .* HTTP_PORT"):
            check_port("127.0.0.1", port, "HTTP_PORT")
    check_port("127.0.0.1", free_port(), "HTTP_PORT")


def test_stop_signals_restores_the_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_signals():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
