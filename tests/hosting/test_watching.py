"""What listeners hear while SageMaker answers, throttles, refuses, and cannot be reached: faults injected in boto3."""

from __future__ import annotations

import queue
import threading
import uuid

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.errors import AccessDenied, EndpointNotFound
from sm_magics.hosting import Origin, connect, deploy, endpoints, removal, watching
from sm_magics.hosting.watching import LONGEST, Pace, Watcher
from sm_magics.progress import StatusChanged, StatusUnknown

PATIENCE = 120.0


class Listener:
    """Hears events; a test waits for them."""

    def __init__(self) -> None:
        self.events = queue.Queue()

    def __call__(self, event):
        self.events.put(event)

    def next(self):
        return self.events.get(timeout=PATIENCE)

    def until(self, status):
        while (event := self.next()) and getattr(event, "status", "") != status:
            pass
        return event


class Turnstile:
    """Lets the watcher make one round at a time, and remembers how long it meant to pause."""

    def __init__(self) -> None:
        self.pauses = queue.Queue()
        self._go = threading.Semaphore(0)

    def __call__(self, _news, seconds):
        self.pauses.put(seconds)
        assert self._go.acquire(timeout=PATIENCE)

    def round(self) -> float:
        """Let the next round begin; return the pause after the one before."""
        pause = self.pauses.get(timeout=PATIENCE)
        self._go.release()
        return pause


@pytest.fixture
def faults(as_aws):
    """Answers for DescribeEndpoint that come from the network and not from SageMaker; none while it is empty."""
    injected = []

    def answer(**_):
        if not injected:
            return None
        fault = injected.pop(0)
        if isinstance(fault, Exception):
            raise fault
        parsed = {"Error": {"Code": fault, "Message": "as injected"}, "ResponseMetadata": {}}
        return type("Answer", (), {"status_code": 400})(), parsed

    connection = connect(as_aws)
    connection.client("sagemaker").meta.events.register_first("before-call.sagemaker.DescribeEndpoint", answer)
    return injected


@pytest.fixture
def turnstile():
    return Turnstile()


@pytest.fixture
def watcher(turnstile):
    """A watcher that pauses as long as the test likes; its thread has ended when the test ends."""
    made = Watcher(1.0, turnstile, Pace(1.0, chance=lambda: 0.5))
    yield made
    for watch in list(made._watches):
        watch.stop()
    thread = made.thread
    if thread is not None:
        for _ in range(4):
            turnstile._go.release()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def names():
    return [f"watched-{uuid.uuid4().hex[:8]}" for _ in range(2)]


@pytest.fixture
def served(machine, pack, names):
    """Two endpoints in service, made for the first test that needs them; they go with the state directory."""
    for name in names:
        deploy(pack("one"), name, origin=Origin("/home/me/watched.ipynb"))
    return names


def an_endpoint(name, settings):
    return endpoints.Endpoint(name, settings.region, settings=settings)


def test_a_listener_hears_the_status_and_again_when_it_changes(machine, pack):
    name, heard = f"watched-{uuid.uuid4().hex[:8]}", Listener()
    endpoint = deploy(pack("one"), name, wait=False)
    with endpoint.watch(heard) as watch:
        assert heard.until("InService") == StatusChanged(name, "InService")
        removal.remove(removal.of(endpoint))
        assert heard.until("Deleted") == StatusChanged(name, "Deleted")
        assert watch.seen.status == "Deleted"
        assert heard.events.empty()
    threads = [thread for thread in threading.enumerate() if thread.name == "sm_magics-watcher"]
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_one_thread_asks_once_for_all_who_listen_and_ends_with_the_last(served, as_aws, watcher, turnstile):
    asked = []
    events = connect(as_aws).client("sagemaker").meta.events
    events.register("before-call.sagemaker.DescribeEndpoint", lambda params, **_: asked.append(params["body"]))
    heard = [Listener() for _ in range(3)]
    watches = []
    for listener, name in zip(heard, [served[0], served[0], served[1]], strict=True):
        watches.append(watcher.watch(an_endpoint(name, as_aws), listener))
    thread = watcher.thread
    turnstile.round()
    assert [listener.next().name for listener in heard] == [served[0], served[0], served[1]]
    turnstile.pauses.get(timeout=PATIENCE)
    asked.clear()
    turnstile._go.release()
    turnstile.round()
    turnstile.round()
    assert len(asked) % 2 == 0
    assert all(listener.events.empty() for listener in heard)  # nothing has changed
    for watch in watches:
        watch.stop()
    while thread.is_alive():
        turnstile._go.release()
        thread.join(0.01)
    assert watcher.thread is None


def test_it_is_asked_less_often_while_sagemaker_throttles_and_then_more_often_again(
    served, as_aws, faults, watcher, turnstile
):
    faults += ["ThrottlingException"] * 3
    heard = Listener()
    watcher.watch(an_endpoint(served[0], as_aws), heard)
    assert [turnstile.round() for _ in range(6)] == [2.0, 4.0, 8.0, 12.0, 6.0, 6.0]
    event = heard.next()
    assert isinstance(event, StatusUnknown)
    assert "fewer requests" in event.why
    assert heard.next() == StatusChanged(served[0], "InService")


def test_a_lost_network_is_told_once_and_then_it_goes_on(served, as_aws, faults, watcher, turnstile):
    faults += [EndpointConnectionError(endpoint_url="https://example.test")] * 3
    heard = [Listener(), Listener()]
    for listener, name in zip(heard, served, strict=True):
        watcher.watch(an_endpoint(name, as_aws), listener)
    for _ in range(5):
        turnstile.round()
    for listener, name in zip(heard, served, strict=True):
        event = listener.next()
        while isinstance(event, StatusChanged):  # it was there before the first fault
            event = listener.next()
        assert (event.name, "cannot be reached" in event.why) == (name, True)
        assert listener.next() == StatusChanged(name, "InService")
        assert listener.events.empty()


def test_expired_credentials_are_told_and_new_ones_are_used(served, as_aws, faults, watcher, turnstile):
    connection = connect(as_aws)
    old = connection.client("sagemaker")
    faults += ["ExpiredTokenException"]
    heard = Listener()
    watcher.watch(an_endpoint(served[0], as_aws), heard)
    turnstile.round()
    event = heard.next()
    assert "expired" in event.why
    assert event.hint
    turnstile.round()
    assert heard.next() == StatusChanged(served[0], "InService")
    assert connect(as_aws).client("sagemaker") is not old


def test_what_concerns_one_thing_alone_leaves_the_others_be(served, as_aws, faults, watcher, turnstile):
    first, second = Listener(), Listener()
    watcher.watch(an_endpoint(served[0], as_aws), first)
    faults += ["AccessDeniedException"]
    turnstile.round()
    watcher.watch(an_endpoint(served[1], as_aws), second)
    while second.events.empty():
        turnstile.round()
    assert second.next() == StatusChanged(served[1], "InService")
    heard = [first.next(), first.next()]
    assert {type(event) for event in heard} == {StatusUnknown, StatusChanged}
    assert any("DescribeEndpoint was refused" in getattr(event, "why", "") for event in heard)


def test_a_listener_that_raises_is_left_alone_and_the_others_hear_on(served, as_aws, watcher, turnstile, caplog):
    def raising(_event):
        raise RuntimeError("a card that is gone")

    heard = Listener()
    watch = watcher.watch(an_endpoint(served[0], as_aws), raising)
    watcher.watch(an_endpoint(served[0], as_aws), heard)
    while heard.events.empty():
        turnstile.round()
    assert heard.next().status == "InService"
    assert not watcher.knows(watch)
    assert "a card that is gone" in caplog.text


def test_an_endpoint_that_never_was_is_deleted(as_aws, watcher, turnstile):
    heard = Listener()
    watcher.watch(an_endpoint("never-was", as_aws), heard)
    assert heard.next() == StatusChanged("never-was", "Deleted")
    turnstile.round()


def test_no_error_reaches_a_listener(watcher, turnstile):
    class Broken:
        name, where, status, detail, is_moving = "broken", "local", "", "", False

        def fetch(self):
            raise KeyError("EndpointStatus")

    heard = Listener()
    watcher.watch(Broken(), heard)
    assert "KeyError" in heard.next().why
    turnstile.round()


@given(st.lists(st.booleans(), max_size=40), st.floats(0, 1), st.booleans())
def test_a_pause_is_never_much_longer_than_the_longest_and_never_shorter_than_half(rounds, chance, settled):
    pace = Pace(5.0, chance=lambda: chance)
    for went_well in rounds:
        (pace.went_well if went_well else pace.was_hindered)()
        assert 2.5 <= pace.pause(is_settled=settled) <= 1.5 * LONGEST


def test_many_watchers_do_not_ask_at_the_same_moment():
    pace = Pace(5.0)
    assert len({pace.pause(is_settled=False) for _ in range(50)}) > 40


def test_which_errors_are_about_asking_at_all():
    assert watching.concerns_all(AccessDenied("expired", code="ExpiredToken"))
    assert not watching.concerns_all(AccessDenied("not you", code="AccessDeniedException"))
    assert not watching.concerns_all(EndpointNotFound("gone"))
