"""The engine: every question and every order goes through the `docker` program, so contexts, remote hosts and podman
work as they do for the person at the terminal.
"""

import contextlib
import difflib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgproof.cluster import Image, Recipe
from pgproof.docker import servers
from pgproof.docker.nouns import Container, Volume, container_of, volume_of
from pgproof.docker.recipe import check, recipe_of
from pgproof.errors import NotFound, PgproofError, ProgramFailed, Refused, Unreachable
from pgproof.stream import process
from pgproof.stream.process import Child, Program

_PASSED_ON = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"),
    *("CONTAINER_HOST", "XDG_RUNTIME_DIR"),
)
_SHORT_ID = 12
_USUAL_PATIENCE = 10  # seconds that an engine gives a container which asks for none
_PATIENCE = 3600  # seconds; a container may itself ask for more time to end than we would give it
_FOR_EVER = 10.0 * 365 * 24 * 3600  # seconds
_SECONDS = 60.0  # for what the engine answers at once
_PROJECT, _NETWORK = "com.docker.compose.project", "com.docker.compose.network"
_UNREACHABLE = ("Cannot connect to the Docker daemon", "permission denied while trying", "Is the docker daemon running",
                "error during connect", "Cannot connect to Podman", "failed to connect to the docker API")  # fmt: skip
_UNKNOWN = ("no such container", "no such object", "no such volume", "no such image", "image not known",
            "no container with name", "could not find the file", "more than one result for volume name")  # fmt: skip


def _program() -> str:
    return os.environ.get("PGPROOF_DOCKER") or "docker"


@dataclass(frozen=True, slots=True)
class Engine:
    """Whatever answers to `program`. Every method raises Unreachable when it does not, ProgramFailed if it refuses."""

    program: str = ""

    # -- looking ----------------------------------------------------------------------------------

    def containers(self, *, running: bool = False) -> tuple[Container, ...]:
        """All containers, or those that run, by name."""
        ids = self._lines("ps", "--quiet", "--no-trunc", *(() if running else ("--all",)))
        found = [container_of(one) for one in self._inspected("container", ids)]
        return tuple(sorted(found, key=lambda one: one.name))

    def container(self, name: str) -> Container:
        """By name or id. Raises NotFound, with the nearest name there is."""
        try:
            (told,) = self._json("container", "inspect", name)
        except NotFound:
            raise self._no_such("container", name, [one.name for one in self.containers()]) from None
        return self._meant(name, told)

    def using(self, volume: str) -> tuple[Container, ...]:
        """The containers, also stopped ones, that have the volume mounted."""
        ids = self._lines("ps", "--all", "--quiet", "--no-trunc", "--filter", f"volume={volume}")
        # The filter takes destinations too, and podman the beginnings of names.
        found = [container_of(one) for one in self._inspected("container", ids)]
        return tuple(one for one in found if any(mount.volume == volume for mount in one.mounts))

    def volume(self, name: str) -> Volume:
        """Raises NotFound, with the nearest name there is. Never makes one, as `docker run -v` would."""
        with contextlib.suppress(NotFound):
            (told,) = self._json("volume", "inspect", name)
            if (found := volume_of(told)).name == name:  # podman takes the beginning of a name, too
                return found
        raise self._no_such("volume", name, self._lines("volume", "ls", "--quiet"))

    def volumes(self) -> tuple[Volume, ...]:
        names = self._lines("volume", "ls", "--quiet")
        return tuple(volume_of(one) for one in self._inspected("volume", names))

    def image_of(self, container: str) -> Image:
        """The image that a container was made of, and how. Raises NotFound."""
        (told,) = self._json("container", "inspect", container)
        found = self._meant(container, told)
        (image,) = self._json("image", "inspect", found.image_id)
        digests = tuple(image.get("RepoDigests") or ())
        return Image(found.image, found.image_id, digests, recipe_of(told, image))

    def image_labels(self, image: str) -> dict[str, str]:
        """Those that an image brings: containers of it have them too. Raises NotFound."""
        (told,) = self._json("image", "inspect", image)
        return dict((told.get("Config") or {}).get("Labels") or {})

    def has_image(self, image: str) -> bool:
        try:
            return bool(self._json("image", "inspect", image))
        except NotFound:
            return False

    def serves(self, container: Container) -> bool:
        """Whether a PostgreSQL server runs in it, by its processes: dumpers and clients may be of the same image."""
        if not (container.running and servers.may_be_server(container)):
            return False
        try:
            return any(name in ("postgres", "postmaster") for name in self.processes(container.id))
        except (ProgramFailed, NotFound):
            return False  # it ended meanwhile

    def logs(self, container: str, lines: int = 20) -> str:
        """The last lines that a container wrote to standard error and output."""
        program = Program([self._docker, "logs", "--tail", str(lines), container], env=_env(), deadline=_SECONDS)
        try:
            with process.reading(program) as child:
                text = b"".join(child.chunks()).decode("utf-8", "replace")
                return f"{text.strip()} {child.tail}".strip()
        except PgproofError:
            return ""

    def processes(self, container: str) -> tuple[str, ...]:
        """The names of the programs that run in a container. Raises ProgramFailed for one that does not run."""
        try:
            told = self._run("top", container, "-eo", "pid,comm")
        except ProgramFailed:  # podman has its own words for columns, and hands others to a ps in the container
            told = self._run("top", container, "pid", "comm")
        table = told.decode("utf-8", "replace").splitlines()
        return tuple(line.split(None, 1)[1].strip() for line in table[1:] if len(line.split()) > 1)

    def machine(self) -> str:
        """The host name of the engine's machine."""
        try:
            told = self._run("info", "--format", "{{.Name}}")
        except ProgramFailed:  # podman has it elsewhere
            told = self._run("info", "--format", "{{.Host.Hostname}}")
        return told.decode("utf-8", "replace").strip()

    # -- doing ------------------------------------------------------------------------------------

    def stop(self, container: str, seconds: int | None = None) -> Container:
        """Ask it to end, and kill it after so many seconds, or, with None, after those it has itself (10 by default);
        how it ended. Raises Refused for one that would be removed by it.
        """
        if (found := self.container(container)).auto_remove:
            raise Refused(
                f"{found.name} was started with --rm: to stop it would remove it, and its volumes without a name",
                hint="start it without --rm",
            )
        longest = max(seconds or 0, found.patience or 0)
        words = () if seconds is None else ("--time", str(longest))
        self._run("stop", *words, container, deadline=(longest or _USUAL_PATIENCE) + _SECONDS)
        return self.container(container)

    def start(self, container: str) -> None:
        self._run("start", container, deadline=2 * _SECONDS)

    def pause(self, container: str) -> None:
        self._run("pause", container)

    def unpause(self, container: str) -> None:
        self._run("unpause", container)

    def wait_ready(self, container: str, seconds: float, sleep: Callable[[float], None] = time.sleep) -> Container:
        """Until it runs and, where it has a health check, is healthy. Raises Unreachable after so many seconds, or as
        soon as it has ended.
        """
        waited = 0.0
        while True:
            found = self.container(container)
            if found.running and found.health in ("", "healthy"):
                return found
            if found.state in ("exited", "dead") or waited >= seconds:
                state = found.state if found.state != "running" else found.health
                raise Unreachable(
                    f"the container {found.name} is {state} after {waited:.0f} s", hint=f"see: docker logs {found.name}"
                )
            sleep(0.25)
            waited += 0.25

    def create_volume(self, name: str, labels: Mapping[str, str]) -> Volume:
        words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        self._run("volume", "create", *words, name)
        return self.volume(name)

    def remove_volume(self, name: str) -> None:
        """Raises NotFound for one that is not there."""
        self._run("volume", "rm", name)

    def run(
        self,
        image: str,
        *,
        name: str,
        labels: Mapping[str, str],
        mounts: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        network: str = "none",
        memory: str = "",
        pids: int = 0,
        command: Sequence[str] = (),
    ) -> Container:
        """Start a container in the background; nothing is pulled. `mounts` are words for --mount; values of `env`
        are not in the process list.
        """
        words = ["run", "--detach", "--name", name, "--network", network, "--pull", "never"]
        words += [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        words += [word for one in mounts for word in ("--mount", one)]
        words += [word for key in env or {} for word in ("--env", key)]
        words += ["--memory", memory] if memory else []
        words += ["--pids-limit", str(pids)] if pids else []
        self._run(*words, image, *command, deadline=5 * _SECONDS, env=env)
        return self.container(name)

    def pull(self, reference: str) -> None:
        """Raises ProgramFailed with the engine's words, NotFound."""
        self._run("pull", "--quiet", reference, deadline=_PATIENCE)

    def make(self, image: Image, recipe: Recipe, env: Mapping[str, str]) -> None:
        """Make and start a container again, with its networks, which are made where they are not there; the image is
        pulled by its digest where it is not here. Values of `env` are not in the process list.
        """
        check(recipe)
        for network, _ in recipe.networks:
            self._network(network, recipe)
        first, *more = recipe.networks or (("", ()),)
        words = ["create", "--name", recipe.name, *recipe.words]
        words += [word for key in env for word in ("--env", key)]
        words += ["--network", first[0]] if first[0] else []
        words += [word for alias in first[1] for word in ("--network-alias", alias)]
        if not self.has_image(image.id) and not image.digests:
            raise Refused(
                f"the image {image.name} ({image.id[:19]}) is not here, and no registry has it",
                hint="bring it with docker save and docker load: another of that name may be anything",
            )
        reference = image.id if self.has_image(image.id) else image.digests[0]
        self._run(*words, reference, *recipe.command, deadline=_PATIENCE, env=env)
        try:
            for network, aliases in more:
                known = [word for alias in aliases for word in ("--alias", alias)]
                self._run("network", "connect", *known, network, recipe.name)
            self.start(recipe.name)
        except BaseException:  # what has never run holds nothing, and would stand in the way of the next try
            with contextlib.suppress(PgproofError):
                self.remove(recipe.name)
            raise

    def _network(self, name: str, recipe: Recipe) -> None:
        """Compose takes a network for its own by two labels, and refuses one that has its name without them."""
        if name in ("bridge", "host", "none") or name in self._lines("network", "ls", "--format", "{{.Name}}"):
            return
        project = next((one.partition("=")[2] for one in recipe.words if one.startswith(f"{_PROJECT}=")), "")
        mine = project and name.startswith(f"{project}_")
        labels = (f"{_PROJECT}={project}", f"{_NETWORK}={name.removeprefix(f'{project}_')}") if mine else ()
        self._run("network", "create", *(word for one in labels for word in ("--label", one)), name)

    def remove(self, container: str) -> None:
        """Also one that runs, with its unnamed volumes. One that is not there is no error."""
        try:
            self._run("rm", "--force", "--volumes", container, deadline=2 * _SECONDS)
        except NotFound:
            return

    # -- inside and out ---------------------------------------------------------------------------

    def exec(self, container: str, argv: Sequence[str], *, user: str = "", deadline: float = 24 * 3600.0) -> bytes:
        """What a program in the container writes. Raises ProgramFailed with its exit status and last words."""
        return self._run("exec", *(("--user", user) if user else ()), container, *argv, deadline=deadline)

    def exec_program(self, container: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Program:
        """The same, to be started by the caller and read as it goes; `env` reaches the program by its environment."""
        words = [word for key in env or {} for word in ("--env", key)]
        return Program([self._docker, "exec", "--interactive", *words, container, *argv], env={**_env(), **(env or {})})

    @contextlib.contextmanager
    def conversation(self, container: str, argv: Sequence[str]) -> Iterator[Child]:
        """A program in the container, to be written to and read from for as long as both like, also in silence."""
        program = replace(self.exec_program(container, argv), deadline=_FOR_EVER, idle=_FOR_EVER)
        try:
            with process.filtering(program) as child:
                yield child
        except ProgramFailed as error:
            raise _translated(error, ("exec",)) from error

    @contextlib.contextmanager
    def reading(self, container: str, path: str) -> Iterator[Child]:
        """The tar archive of a file or folder in a container, also one that is stopped, by `docker cp`."""
        program = Program([self._docker, "cp", f"{container}:{path}", "-"], env=_env())
        try:
            with process.reading(program) as child:
                yield child
        except ProgramFailed as error:
            raise _translated(error, ("cp",)) from error

    @contextlib.contextmanager
    def filling(self, container: str, path: str) -> Iterator[Child]:
        """Write a tar archive to it: it is unpacked into a folder of a container, with its owners, by `docker cp`."""
        words = ("cp", "--archive", "-", f"{container}:{path}")
        try:
            with process.filtering(Program([self._docker, *words], env=_env())) as child:
                yield child
                child.end_input()
                child.finish()
        except ProgramFailed as error:
            raise _translated(error, words) from error

    def create(self, image: str, *, name: str, labels: Mapping[str, str], mount: str) -> Container:
        """Make a container that is never started, by which a volume can be reached."""
        words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        words += ["--network", "none", "--mount", mount, "--entrypoint", "true"]
        self._run("create", "--pull", "never", "--name", name, *words, image, deadline=5 * _SECONDS)
        return self.container(name)

    # -- the program ------------------------------------------------------------------------------

    @property
    def _docker(self) -> str:
        name = self.program or _program()
        found = process.find(name)
        if not found:
            raise Unreachable(f"there is no program {name} here", hint="install Docker's client, or set PGPROOF_DOCKER")
        return found

    def _run(self, *words: str, deadline: float = _SECONDS, env: Mapping[str, str] | None = None) -> bytes:
        try:
            return process.run(Program([self._docker, *words], env={**_env(), **(env or {})}, deadline=deadline))
        except ProgramFailed as error:
            raise _translated(error, words) from error

    def _lines(self, *words: str) -> list[str]:
        return self._run(*words).decode("utf-8", "replace").split()

    def _json(self, *words: str) -> list[Any]:
        return list(json.loads(self._run(*words)))

    def _inspected(self, kind: str, names: Sequence[str]) -> list[Any]:
        """One may go between the two questions: then the others are asked for one by one."""
        if not names:
            return []
        try:
            return self._json(kind, "inspect", *names)
        except NotFound:
            found = []
            for name in names:
                with contextlib.suppress(NotFound):
                    found += self._json(kind, "inspect", name)
            return found

    def _meant(self, name: str, told: Any) -> Container:
        """The engine takes the beginning of an id for a name: `db` would be whichever container's id begins so."""
        found = container_of(told)
        if name in (found.name, found.id) or (len(name) >= _SHORT_ID and found.id.startswith(name)):
            return found
        raise self._no_such("container", name, [one.name for one in self.containers()])

    def _no_such(self, what: str, name: str, known: Sequence[str]) -> NotFound:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        guess = f"did you mean {near[0]}? " if near else ""
        return NotFound(f"there is no {what} {name!r}", hint=f"{guess}there are: {', '.join(known) or 'none'}")


def _env() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _translated(error: ProgramFailed, words: Sequence[str]) -> PgproofError:
    text = error.message
    if any(one in text for one in _UNREACHABLE):
        hint = "is it running, and may this user use its socket? DOCKER_HOST or a context may name another"
        return Unreachable(f"the container engine does not answer: {_last(text)}", hint=hint)
    if any(one in text.lower() for one in _UNKNOWN):
        return NotFound(
            f"the engine does not know it: {_last(text)}", hint="see `docker ps --all` and `docker volume ls`"
        )
    return ProgramFailed(f"docker {words[0]} failed: {_last(text)}", hint="those are the engine's words")


def _last(text: str) -> str:
    return " ".join(text.split())[-400:]
