"""The text of a systemd unit for a runner (systemd.service(5), systemd.exec(5)).

What is restricted is what neither a runner nor a pipeline needs. Not set, and why: MemoryDenyWriteExecute (PyTorch,
CUDA and other compilers make code at run time), ProcSubset (psutil reads /proc), PrivateDevices and ProtectClock where
there may be a GPU (both limit devices to a list; without capabilities nobody can set the clock anyway).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MARK = "# Made by `ai-runner service install`; made anew by it, removed by `ai-runner service uninstall`."
_ANYWHERE = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "UMask=0077",
)
_SYSTEM_ONLY = (
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "PrivateTmp=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=read-only",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectSystem=strict",
    "RestrictNamespaces=yes",
)
_START_LIMIT_S = 1800
"""`serve` may install something first."""


@dataclass(frozen=True)
class Unit:
    """One runner as a service.

    :param name: without ``.service``
    :param command: program and words
    :param prefix: the runner's own environment
    :param gpus: CUDA devices dealt out to workers; ``none``: no device at all; empty: what is there
    :param run_as: user of a system unit; empty: one that exists only while it runs
    :param environment_file: variables, secrets among them; need not be there
    :param writable: folders that it may write to, beside those that systemd makes for it
    """

    name: str
    command: tuple[str, ...]
    prefix: Path
    environment_file: Path
    user_unit: bool = False
    gpus: str = ""
    run_as: str = ""
    writable: tuple[Path, ...] = ()
    stop_timeout_s: int = 90

    @property
    def file_name(self) -> str:
        """As systemd knows it."""
        return f"{self.name}.service"

    def render(self) -> str:
        """Return the unit's text."""
        target = "default.target" if self.user_unit else "multi-user.target"
        parts = {
            "Unit": [
                f"Description=ai-runner, environment {_plain(self.prefix.name)} ({_plain(self.name)})",
                "Wants=network-online.target",
                "After=network-online.target",
                "StartLimitIntervalSec=300",
                "StartLimitBurst=10",
            ],
            "Service": [*self._process(), *self._variables(), *self._limits()],
            "Install": [f"WantedBy={target}"],
        }
        text = "\n\n".join("\n".join([f"[{name}]", *lines]) for name, lines in parts.items())
        return f"{MARK}\n\n{text}\n"

    def _process(self) -> list[str]:
        return [
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={' '.join(map(_word, self.command))}",
            # The runner ends its workers itself; what is left after that is killed with the group.
            "KillMode=mixed",
            f"TimeoutStartSec={_START_LIMIT_S}",
            f"TimeoutStopSec={self.stop_timeout_s}",
            "Restart=on-failure",
            "RestartSec=2",
            # Wrong words stay wrong: exit code 2.
            "RestartPreventExitStatus=2",
            "StandardOutput=journal",
            "StandardError=journal",
            f"SyslogIdentifier={_plain(self.name)}",
            "LogRateLimitIntervalSec=30s",
            "LogRateLimitBurst=5000",
            f"StateDirectory={_plain(self.name)}",
            f"CacheDirectory={_plain(self.name)}",
        ]

    def _variables(self) -> list[str]:
        name = _plain(self.name)
        variables = {
            "PATH": f"{self.prefix / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "CONDA_PREFIX": str(self.prefix),
            "PYTHONNOUSERSITE": "1",
        }
        if self.gpus and self.gpus != "none":
            variables["AI_RUNNER_GPUS"] = self.gpus
        if self.gpus == "none":
            variables["CUDA_VISIBLE_DEVICES"] = ""
        lines = [
            f"Environment={_word(f'{key}={value}', is_command=False)}" for key, value in variables.items()
        ]
        # %S and %C are systemd's folders for state and caches. The file comes last: what it says wins.
        lines += [f"Environment=MODEL_DIR=%S/{name}/models", f"Environment=XDG_CACHE_HOME=%C/{name}"]
        return [*lines, f"EnvironmentFile=-{str(self.environment_file).replace('%', '%%')}"]

    def _limits(self) -> list[str]:
        lines = list(_ANYWHERE)
        if not self.user_unit:
            lines += [f"User={_plain(self.run_as)}" if self.run_as else "DynamicUser=yes", *_SYSTEM_ONLY]
            lines += ["PrivateDevices=yes"] if self.gpus == "none" else []
        return lines + [f"ReadWritePaths={_word(str(path), is_command=False)}" for path in self.writable]


def _word(text: str, *, is_command: bool = True) -> str:
    """Quote one word of a line (systemd.syntax(7)); ``$`` means something in commands only."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    escaped = escaped.replace("$", "$$") if is_command else escaped
    return escaped if re.fullmatch(r"[\w./:=@+,%-]+", escaped) else f'"{escaped}"'


def _plain(text: str) -> str:
    """Leave only characters that mean nothing to systemd."""
    return re.sub(r"[^\w.@-]", "-", text)
