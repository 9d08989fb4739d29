"""The schedule as systemd units: a hardened service and a timer for each task, and the service that runs them all.

What is allowed is what a drill needs (postgres.scratch): a network namespace, and as root the way to `nobody`.
"""

from pgproof.errors import UsageError
from pgproof.schedule.cron import parse_cron
from pgproof.schedule.written.calendar import on_calendar
from pgproof.schedule.written.setup import MARK, STATE, Setup, Written, check_setup

SERVICE = "pgproof.service"
_DELAY = "30s"  # so that not all hosts begin in one second; the same time always on one host

# systemd.exec(5). Left out on purpose, because it would break something:
#   PrivateUsers, ProtectProc, ProcSubset   whether the owner of a lock is alive is read in /proc
#   RemoveIPC                               it would take a server's memory away that runs as the same user
#   MemoryDenyWriteExecute                  libffi and PostgreSQL's compiler write code
_HARDENED = """\
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
ProtectSystem=strict
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# Netlink brings up what there is of a network in a drill's own namespace.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
_AS_ROOT = """\
# A drill's server runs as nobody, in a network namespace of its own; its files are nobody's.
RestrictNamespaces=net
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID CAP_SYS_ADMIN
"""
_AS_USER = """\
# A drill's server runs in a network namespace of its own, which takes a user namespace.
RestrictNamespaces=net user
CapabilityBoundingSet=
AmbientCapabilities=
"""
_SECRETS = """\
# A secret that only root can read: make this a line, and say in the configuration
# "exec:sh -c 'cat \\"$CREDENTIALS_DIRECTORY/database\\"'"
# LoadCredential=database:/etc/pgproof/database
"""
_TMP = """\
# A drill needs room for the whole database. /tmp may lie in memory, so it takes /var/tmp; for another disk, change
# TMPDIR and add the folder to ReadWritePaths.
Environment=TMPDIR=/var/tmp
"""


def units(setup: Setup) -> list[Written]:
    """A service and a timer for each task; and pgproof.service, the alternative to all of them. Raises UsageError."""
    check_setup(setup)
    found = []
    for task, text in setup.tasks:
        found += [Written(f"pgproof-{task}.service", _task(setup, task)), _timer(setup, task, text)]
    return [*found, Written(SERVICE, _service(setup))]


def _task(setup: Setup, task: str) -> str:
    command = _command(setup.command(task))
    return f"{_unit(f'pgproof: {task}')}\n[Service]\nType=oneshot\nExecStart={command}\n{_rest(setup)}"


def _timer(setup: Setup, task: str, text: str) -> Written:
    lines = [MARK, "[Unit]", f"Description=pgproof: when to {task} ({_plain(' '.join(text.split()))})"]
    lines += [
        "",
        "[Timer]",
        "# Where a clock is changed: what falls into the gap in spring is left out, the double hour counts once.",
    ]
    lines += [f"OnCalendar={one}" for one in on_calendar(parse_cron(text), setup.zone)]
    lines += ["Persistent=yes", "AccuracySec=1s", f"RandomizedDelaySec={_DELAY}", "FixedRandomDelay=yes"]
    lines += ["", "[Install]", "WantedBy=timers.target"]
    return Written(f"pgproof-{task}.timer", "\n".join(lines) + "\n")


def _service(setup: Setup) -> str:
    """Starting it stops the timers, and they it: nothing is to be done twice."""
    timers = " ".join(f"pgproof-{task}.timer" for task, _ in setup.tasks)
    command = _command((*setup.program, "run", "--config", setup.config))
    head = f"{_unit('pgproof: the service, in place of the timers')}Conflicts={timers}\n"
    service = f"Type=exec\nExecStart={command}\nExecReload=kill -HUP $MAINPID\nRestart=on-failure\nRestartSec=30s\n"
    return f"{head}\n[Service]\n{service}{_rest(setup)}\n[Install]\nWantedBy=multi-user.target\n"


def _unit(description: str) -> str:
    return (
        f"{MARK}\n[Unit]\nDescription={description}\nDocumentation=man:systemd.exec(5)\n"
        "Wants=network-online.target\nAfter=network-online.target\n"
    )


def _rest(setup: Setup) -> str:
    """Who it is, what it may write, and all that it may not."""
    root = setup.user == "root"
    lines = [
        f"User={_plain(setup.user)}",
        "# As the first: what pgproof started has time to take back what is half made.",
    ]
    lines += ["KillMode=mixed", "TimeoutStopSec=90s"]
    lines += ["StateDirectory=pgproof", "StateDirectoryMode=0700"] if setup.state == STATE else []
    lines += [f"Environment={_word(f'PGPROOF_STATE={setup.state}')}"]
    places = (*setup.writes, *(() if setup.state == STATE else (setup.state,)))
    lines += (
        ["# A folder that is not there yet is passed over: make it first, or the store is read-only."] if places else []
    )
    lines += [f"ReadWritePaths={_word(f'-{place}')}" for place in places]
    lines += _of_environment(setup)
    lines += [f"ProtectHome={'read-only' if setup.home else 'yes'}"]
    lines += ["# A path or a server's socket lies in /tmp or /var/tmp."] if setup.shared_tmp else []
    lines += ["PrivateTmp=no", "ReadWritePaths=/tmp /var/tmp"] if setup.shared_tmp else ["PrivateTmp=yes"]
    return "\n".join(lines) + "\n" + _TMP + _SECRETS + _HARDENED + (_AS_ROOT if root else _AS_USER)


def _of_environment(setup: Setup) -> list[str]:
    if not setup.variables:
        return []
    names = ", ".join(setup.variables)
    return [f"# From the environment: {names}. A file of root's, mode 0600, with NAME=VALUE lines:",
            "EnvironmentFile=/etc/pgproof/environment"]  # fmt: skip


def _command(words: tuple[str, ...]) -> str:
    """A command line as systemd.service(5) reads it: no shell; in the program's own path no variables. Raises
    UsageError for a path that it takes for none.
    """
    if set(words[0]) & set("\"'\\"):
        hint = "install pgproof in a folder without quotes and backslashes"
        raise UsageError(f"systemd starts no program called {words[0]!r}", hint=hint)
    return " ".join([_word(words[0]), *(_word(word).replace("$", "$$") for word in words[1:])])


def _word(text: str) -> str:
    """One word, quoted where it has to be (systemd.syntax(7))."""
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return escaped if text.isascii() and not set(text) & set(" \"'\\;#") else f'"{escaped}"'


def _plain(text: str) -> str:
    """A % begins a specifier (systemd.unit(5))."""
    return text.replace("%", "%%")
