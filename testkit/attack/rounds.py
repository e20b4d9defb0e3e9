"""One round: an Envoy with its settings, and requests whose fate is checked."""

import contextlib
import itertools
import pathlib
import random
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass

import check
import client
import gateway
import generate
import origin
import settings
import shrink

# Routes of a round for each position.
ROUTES = 16


@dataclass
class Tools:
    envoy: pathlib.Path
    # Makes a filter of its settings: that of wasm, or the native one.
    make_filter: Callable


@dataclass
class Report:
    """A class of findings with its smallest example."""

    title: str
    count: int
    example: str


@contextlib.contextmanager
def running(tools, world, filter_config, routes, close_after="60s"):
    """Envoy and all servers behind it."""
    ports, stop = origin.start_servers(world)
    with contextlib.ExitStack() as stack:
        stack.callback(stop)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="oss-attack-"))
        config = gateway.config(tools.make_filter(filter_config), routes, ports, close_after)
        envoy = gateway.Gateway(tools, pathlib.Path(folder), config)
        stack.callback(envoy.stop)
        yield envoy


class Policy:
    """Random settings and random requests, judged by the model."""

    clients = 4

    def __init__(self, tools, seed, count):
        self.tools, self.count = tools, count
        self.random = random.Random(seed)
        self.defaults, self.routes = settings.random_routes(self.random, ROUTES)
        self.world = origin.World()
        keys = origin.known_keys(self.random)
        self.world.ids = {name: key_id for name, (key_id, _) in keys.items()}
        self.world.keys = dict(keys.values())
        self.secrets = secrets_of(self.world.keys)
        self.credentials = {
            "fixed": {"access_key": {"id_env": "FIXED_ID", "secret_env": "FIXED_SECRET"}}
        }
        for name in ("default", "second"):
            answer = origin.credentials_answer(*keys[name])
            self.world.sidecar_answers[f"/v1/credentials/{name}"] = answer
            sidecar = {"cluster": "sidecar", "timeout_ms": 60_000}
            self.credentials[name] = {"sidecar": sidecar}
        self.checker = check.Checker(self.routes, self.world, self.secrets)
        self.numbers = itertools.count(1)

    def run(self):
        """The findings, by class."""
        config = settings.filter_config(self.defaults, self.routes, self.credentials)
        with running(self.tools, self.world, config, self.routes) as envoy:
            generator = generate.Generator(self.random)
            requests = [
                generator.request(self.random.choice(self.routes)) for _ in range(self.count)
            ]
            found = self.send_all(envoy, requests)
            reports = [self.report(envoy, *one) for one in found.items()]
            reports += self.at_the_end(envoy)
        return reports

    def send_all(self, envoy, requests):
        """By class: how many, and the first request."""
        found, lock, queue = {}, threading.Lock(), iter(requests)
        problems = []

        def work():
            one_client = Clients(envoy)
            try:
                while True:
                    with lock:
                        request = next(queue, None)
                    if request is None:
                        return
                    for finding in self.try_one(one_client, request)[0]:
                        key = (request.route[0], finding.kind)
                        with lock:
                            known = found.setdefault(key, [0, request])
                            known[0] += 1
                            if len(request.target) < len(known[1].target):
                                known[1] = request
            except Exception as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems and envoy.process.poll() is None:
            raise problems[0]
        return found

    def try_one(self, clients, request):
        """Its findings, and the text of what came of it."""
        number = next(self.numbers)
        agent = f"{request.route}/{number}"
        answer = clients.of(request.route).send(request, agent)
        arrivals = self.world.forget(number)
        return list(self.checker.findings(request, answer, arrivals)), answer

    def report(self, envoy, key, known):
        position, kind = key
        count, request = known
        clients = Clients(envoy)

        def holds(candidate):
            return any(finding.kind == kind for finding in self.try_one(clients, candidate)[0])

        note = ""
        if holds(request):
            request = shrink.shrink(request, holds)
        else:
            note = "(not seen again with this request alone)\n"
        findings, answer = self.try_one(clients, request)
        details = [finding.detail for finding in findings if finding.kind == kind]
        detail = details[0] if details else ""
        route = self.checker.routes[request.route]
        own = {**self.defaults, **route.own}
        example = (
            f"{note}{indented(request.text(f'{request.route}/0'))}\n"
            f"  settings: {own}\n"
            f"  the route's rewrite: {'host' if route.rewrites_host else 'no host'}\n"
            f"  answer: {answer.summary()}\n{indented(detail)}"
        )
        where = "on the cluster" if position == "c" else "among the listener's filters"
        return Report(f"{where}: {kind}", count, example)

    def at_the_end(self, envoy):
        """What is seen of all requests together."""
        for problem in envoy.problems(self.secrets):
            yield Report("Envoy itself", 1, problem)
        for stray in self.world.strays:
            yield Report("a request that nobody has sent", 1, stray.text())
        for arrivals in self.world.arrivals.values():
            for finding in self.checker.always(LATE, client.Answer(status=200), arrivals):
                yield Report(f"late: {finding.kind}", 1, finding.detail)


# Stands for a request that is over.
LATE = generate.Request("", "GET", b"/", b"")


class Clients:
    """A client for each position."""

    def __init__(self, envoy):
        self.by_position = {
            "c": client.Client(envoy.ports["cluster"]),
            "l": client.Client(envoy.ports["listener"]),
        }

    def of(self, route):
        return self.by_position[route[0]]


def secrets_of(keys):
    found = []
    for key_id, key in keys.items():
        found += [key_id, key.secret] + ([key.token] if key.token else [])
    return found


def indented(text):
    return "\n".join(f"    {line}" for line in text.splitlines())
