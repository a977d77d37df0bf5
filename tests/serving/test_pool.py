"""The queue, and what becomes of workers, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_driver import until

from sm_magics.serving.connection import Worker
from sm_magics.serving.messages import ModelLoadFailed, Request, frame
from sm_magics.serving.parent import Forked, ParentFailed, WarmParent
from sm_magics.serving.pool import WorkerPool

OBEDIENT = """
import json, os, sys, time
def model_fn(model_dir):
    flag = os.path.join(model_dir, "fail")
    if os.path.exists(flag): raise RuntimeError("the weights are gone")
def input_fn(body, content_type): return json.loads(body)
def predict_fn(order, model):
    if "print" in order: print(order["print"], file=getattr(sys, order.get("to", "stdout")))
    if "begun" in order: open(order["begun"], "a").write("x")
    if "until" in order:
        while not os.path.exists(order["until"]): time.sleep(0.005)
    if "child" in order:
        pid = os.fork()
        if pid == 0: time.sleep(1000)
        return pid
    if "exit" in order: os._exit(order["exit"])
    return eval(order["eval"]) if "eval" in order else None
def output_fn(prediction, accept): return json.dumps(prediction)
"""


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def make_pool(loop, parent, log, write_model):
    pools: list[WorkerPool] = []

    def make(code: str = OBEDIENT, **options) -> WorkerPool:
        pool = WorkerPool(write_model(code), parent=parent, log=log.append, **options)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        loop.run_until_complete(pool.close(drain=0))


def order(**what) -> Request:
    return Request("POST", "/invocations", (("Content-Type", "application/json"),), json.dumps(what).encode())


def test_requests_are_served_first_come_first_served(loop, make_pool, tmp_path):
    async def scenario():
        pool = make_pool()
        await pool.start()
        gate = tmp_path / "gate"
        done: list[int] = []
        first = asyncio.create_task(pool.invoke(order(until=str(gate))))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(pool.invoke(order(eval=str(n)))) for n in range(20)]
        for n, task in enumerate(rest):
            task.add_done_callback(lambda _, n=n: done.append(n))
        await asyncio.sleep(0)
        gate.touch()
        answers = await asyncio.gather(first, *rest)
        assert [answer.body for answer in answers[1:]] == [b"%d" % n for n in range(20)]
        assert done == list(range(20))

    loop.run_until_complete(scenario())


def test_hundred_requests_wait_and_further_ones_are_refused(loop, make_pool, tmp_path):
    async def scenario():
        pool = make_pool()
        await pool.start()
        gate = tmp_path / "gate"
        tasks = [asyncio.create_task(pool.invoke(order(until=str(gate)))) for _ in range(101)]
        await asyncio.sleep(0)
        refused = await pool.invoke(order())
        assert (refused.status, refused.content_type) == (503, "application/json")
        assert json.loads(refused.body)["type"] == "ServiceUnavailableException"
        gate.touch()
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}

    loop.run_until_complete(scenario())


def test_each_worker_has_one_request_at_a_time(loop, make_pool, tmp_path):
    async def scenario():
        pool = make_pool(workers=2)
        await pool.start()
        gate, begun = tmp_path / "gate", tmp_path / "begun"
        what = order(until=str(gate), begun=str(begun), eval="os.getpid()")
        tasks = [asyncio.create_task(pool.invoke(what)) for _ in range(6)]
        await until(lambda: begun.exists() and begun.stat().st_size == 2)
        gate.touch()
        assert len({answer.body for answer in await asyncio.gather(*tasks)}) == 2
        assert begun.stat().st_size == 6

    loop.run_until_complete(scenario())


def test_caller_that_goes_away_cancels_nothing(loop, make_pool, tmp_path):
    async def scenario():
        pool = make_pool()
        await pool.start()
        gate, begun = tmp_path / "gate", tmp_path / "begun"
        tasks = [asyncio.create_task(pool.invoke(order(until=str(gate), begun=str(begun)))) for _ in range(2)]
        await until(begun.exists)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        last = asyncio.create_task(pool.invoke(order(eval="1")))
        await asyncio.sleep(0)
        gate.touch()
        assert (await last).body == b"1"
        assert begun.stat().st_size == 2, "the one that waited has been served too"

    loop.run_until_complete(scenario())


def test_closing_answers_what_waits_and_refuses_what_comes(loop, make_pool, tmp_path):
    async def scenario():
        pool = make_pool()
        await pool.start()
        gate = tmp_path / "gate"
        tasks = [asyncio.create_task(pool.invoke(order(until=str(gate)))) for _ in range(5)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(pool.close(drain=60))
        await asyncio.sleep(0)
        assert (await pool.invoke(order())).status == 503
        gate.touch()
        await closing
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}

    loop.run_until_complete(scenario())


def test_request_is_queued_when_it_is_made_not_when_it_is_first_waited_for(loop, make_pool):
    async def scenario():
        pool = make_pool()
        await pool.start()
        closing = asyncio.create_task(pool.close(drain=60))
        asked = asyncio.create_task(pool.invoke(order(eval="1")))
        assert (await asked).body == b"1"
        await closing

    loop.run_until_complete(scenario())


def test_closing_does_not_wait_longer_than_told(loop, make_pool, lives):
    async def scenario():
        pool = make_pool()
        await pool.start()
        pid = int((await pool.invoke(order(eval="os.getpid()"))).body)
        tasks = [asyncio.create_task(pool.invoke(order(until="/never"))) for _ in range(2)]
        await asyncio.sleep(0)
        await pool.close(drain=0.01)
        assert [answer.status for answer in await asyncio.gather(*tasks)] == [500, 503]
        assert not lives(pid)

    loop.run_until_complete(scenario())


def test_load_failure_is_raised_with_its_traceback_already_in_the_log(loop, make_pool, log):
    pool = make_pool("def model_fn(model_dir):\n    print('about to')\n    raise RuntimeError('no weights')", workers=2)

    with pytest.raises(ModelLoadFailed, match=r"^RuntimeError: no weights$") as raised:
        loop.run_until_complete(pool.start())

    assert raised.value.traceback.startswith("Traceback (most recent call last):\n")
    assert "line 3, in model_fn" in raised.value.traceback
    assert {"about to", "RuntimeError: no weights"} <= set(log)


def test_start_that_is_cancelled_leaves_no_worker(loop, make_pool, tmp_path, lives):
    async def scenario():
        pid_file = tmp_path / "pid"
        code = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(1000)"
        starting = asyncio.create_task(make_pool(code).start())
        await until(lambda: pid_file.exists() and pid_file.read_text())
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        # The news that it was forked may still be under way: it is killed when that comes.
        await until(lambda: not lives(int(pid_file.read_text())))

    loop.run_until_complete(scenario())


def test_worker_that_cannot_be_replaced_is_reported_and_replaced_once_it_can(loop, make_pool, log, tmp_path):
    async def scenario():
        pool = make_pool()
        await pool.start()
        flag = tmp_path / "model" / "fail"
        flag.touch()
        waiting = [asyncio.create_task(pool.invoke(order(exit=1))), asyncio.create_task(pool.invoke(order()))]
        died, refused = await asyncio.gather(*waiting)
        assert (died.status, refused.status) == (500, 503)
        assert "the weights are gone" in json.loads(refused.body)["message"]
        assert not pool.healthy
        assert (await pool.invoke(order())).status == 503
        flag.unlink()
        await until(lambda: pool.healthy)
        assert (await pool.invoke(order(eval="1"))).body == b"1"

    loop.run_until_complete(scenario())
    assert "RuntimeError: the weights are gone" in log


def test_worker_that_dies_idle_is_replaced(loop, make_pool, lives):
    async def scenario():
        pool = make_pool()
        await pool.start()
        pid = int((await pool.invoke(order(eval="os.getpid()"))).body)
        os.kill(pid, 9)
        await until(lambda: not lives(pid))
        assert int((await pool.invoke(order(eval="os.getpid()"))).body) != pid

    loop.run_until_complete(scenario())


def test_workers_that_die_by_themselves_are_counted_until_one_answers(loop, make_pool, log):
    short_lived = OBEDIENT.replace(
        "def input_fn",
        '    if os.path.exists(os.path.join(model_dir, "dying")):\n'
        "        import threading\n"
        "        threading.Timer(0.01, os._exit, [9]).start()\n"
        "def input_fn",
    )

    async def scenario():
        pool = make_pool(short_lived)
        await pool.start()
        answer = await pool.invoke(order(eval="os.path.dirname(os.path.dirname(os.path.abspath(__file__)))"))
        dying = Path(json.loads(answer.body)) / "dying"
        dying.touch()
        pid = int((await pool.invoke(order(eval="os.getpid()"))).body)
        os.kill(pid, 9)
        await until(lambda: pool.idle_losses >= 3)
        assert log.count("Worker died (exit status 9).") >= 1
        dying.unlink()
        while json.loads((await pool.invoke(order(eval="1"))).body) != 1:
            pass  # asked of the last one that was going to die
        assert pool.idle_losses <= 1, "one more at most: the one that answered may have been going to die"

    loop.run_until_complete(scenario())


def test_processes_that_handlers_started_go_with_the_worker(loop, make_pool, lives):
    async def scenario():
        pool = make_pool()
        await pool.start()
        child = int((await pool.invoke(order(child=True))).body)
        assert lives(child)
        assert (await pool.invoke(order(exit=1))).status == 500, "although the child holds the worker's connection"
        await until(lambda: not lives(child))

    loop.run_until_complete(scenario())


def test_what_handlers_print_is_in_the_log_before_their_answer(loop, make_pool, log):
    async def scenario():
        pool = make_pool()
        await pool.start()
        for n in range(50):
            await pool.invoke(order(print=f"line {n}", to=("stdout", "stderr")[n % 2]))
            assert log[-1] == f"line {n}"
        await pool.invoke(order(print="\n".join(["x" * 1000] * 500), exit=1))
        assert log.count("x" * 1000) == 500
        await pool.invoke(order(print="x" * 1_000_000 + "\u00e9\udc80"))
        text = "".join(log)
        assert text.count("x" * 1000) == 1500
        assert text.endswith("\u00e9\\udc80")

    loop.run_until_complete(scenario())


def test_worker_sees_its_model_and_nothing_of_the_server(loop, make_pool, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async def see(pool, what: str):
        return json.loads((await pool.invoke(order(eval=what))).body)

    async def scenario():
        pool = make_pool(environ={"COLOUR": "blue", "OMP_NUM_THREADS": "1"})
        await pool.start()
        model = str(tmp_path / "model")
        environ = await see(pool, "dict(os.environ)")
        assert environ["COLOUR"] == "blue"
        assert "AWS_SECRET_ACCESS_KEY" not in environ
        assert await see(pool, "os.getcwd()") == model
        path = await see(pool, "sys.path")
        assert Path(path[0]).name == "sagemaker_pytorch_serving_container"  # as in the container
        assert path[1:3] == [f"{model}/code", model]
        assert not {"", str(Path.cwd())} & set(path) - {str(Path(__file__).parents[2])}
        assert await see(pool, "__import__('torch').get_num_threads()") == 1
        descriptors = await see(
            pool, "sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:3])"
        )
        assert "/dev/null" in descriptors
        assert await see(pool, "list(map(str, __import__('pathlib').Path('.').rglob('__pycache__')))") == []

    loop.run_until_complete(scenario())


def test_workers_draw_different_random_numbers(loop, make_pool):
    draw = "(__import__('random').random(), __import__('numpy').random.rand(), __import__('torch').rand(1).item())"

    async def scenario():
        pool = make_pool()
        await pool.start()
        first = json.loads((await pool.invoke(order(eval=draw))).body)
        await pool.invoke(order(exit=1))
        second = json.loads((await pool.invoke(order(eval=draw))).body)
        assert all(a != b for a, b in zip(first, second, strict=True))

    loop.run_until_complete(scenario())


def test_parallel_torch_works_after_the_fork(loop, make_pool):
    parallel = "(t := __import__('torch'), t.set_num_threads(2), (t.rand(600, 600) @ t.rand(600, 600)).shape)[2]"

    async def scenario():
        pool = make_pool(environ={"SAGEMAKER_TS_RESPONSE_TIMEOUT": "60"})
        await pool.start()
        assert (await pool.invoke(order(eval=parallel))).body == b"[600, 600]"

    loop.run_until_complete(scenario())


def test_single_folder_in_the_model_directory_is_the_model_directory(loop, parent, log, write_model, tmp_path):
    async def scenario():
        inner = write_model("import json\ndef model_fn(d): return d\ndef transform_fn(m, b, c, a): return m")
        outer = tmp_path / "outer"
        outer.mkdir()
        inner = inner.rename(outer / "inner")
        pool = WorkerPool(outer, parent=parent, log=log.append)
        await pool.start()
        assert (await pool.invoke(order())).body == str(inner).encode()
        await pool.close()

    loop.run_until_complete(scenario())


def test_warm_process_that_is_killed_is_started_again(loop, short_dir, write_model, log, lives):
    async def scenario():
        parent = await WarmParent.start(sys.executable, short_dir)
        pool = WorkerPool(write_model(OBEDIENT), parent=parent, log=log.append)
        await pool.start()
        worker, warm = int((await pool.invoke(order(eval="os.getpid()"))).body), parent.pid
        os.kill(warm, 9)
        await until(lambda: not lives(worker))
        assert (await pool.invoke(order(eval="1"))).body == b"1"
        assert parent.pid != warm
        await pool.close()
        await parent.close()

    loop.run_until_complete(scenario())
    assert not list(short_dir.iterdir())


@pytest.mark.parametrize("turns", range(6))
def test_request_at_any_moment_after_a_worker_was_killed_is_answered(loop, make_pool, lives, turns):
    async def scenario():
        pool = make_pool()
        await pool.start()
        worker = int((await pool.invoke(order(eval="os.getpid()"))).body)
        os.kill(worker, 9)
        while lives(worker):
            pass  # and the event loop hears of nothing yet
        for _ in range(turns):
            await asyncio.sleep(0)
        assert (await pool.invoke(order(eval="1"))).body == b"1"

    loop.run_until_complete(scenario())


def test_closed_warm_process_takes_its_workers_along_and_forks_no_more(loop, short_dir, write_model, log, lives):
    async def scenario():
        parent = await WarmParent.start(sys.executable, short_dir)
        pool = WorkerPool(write_model(OBEDIENT), parent=parent, log=log.append)
        await pool.start()
        worker = int((await pool.invoke(order(eval="os.getpid()"))).body)
        await parent.close()
        await until(lambda: not lives(worker) and not pool.healthy)
        assert (await pool.invoke(order())).status == 503
        with pytest.raises(ParentFailed, match="The warm process has ended"):
            await WorkerPool(short_dir, parent=parent, log=log.append).start()
        await pool.close()
        await parent.close()

    loop.run_until_complete(scenario())


def test_interpreter_that_cannot_serve_says_why(loop, short_dir, tmp_path):
    async def start(python: str, **environ: str):
        await WarmParent.start(python, short_dir, environ=environ)

    (tmp_path / "torch.py").write_text("raise ImportError('libtorch is not there')")
    with pytest.raises(ParentFailed, match="libtorch is not there"):
        loop.run_until_complete(start(sys.executable, PYTHONPATH=str(tmp_path)))
    with pytest.raises(ParentFailed, match="No such file"):
        loop.run_until_complete(start("/nowhere/python"))
    with pytest.raises(ParentFailed, match="ended with status 1 before it could"):
        loop.run_until_complete(start("/bin/false"))
    assert not list(short_dir.iterdir())


def test_long_directory_gets_its_socket_elsewhere(loop, tmp_path):
    async def scenario():
        parent = await WarmParent.start(sys.executable, tmp_path / ("long" * 30))
        await parent.close()

    loop.run_until_complete(scenario())


def test_object_array_is_unpickled_only_if_told(loop, parent, log):
    import io

    import numpy as np

    model = Path(__file__).parent / "contract" / "models" / "ts_default"
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    request = Request("POST", "/", (("Content-Type", "application/x-npy"),), buffer.getvalue())

    async def message(*, allow_pickle: bool) -> bytes:
        pool = WorkerPool(model, parent=parent, log=log.append, allow_pickle=allow_pickle)
        await pool.start()
        answer = await pool.invoke(request)
        await pool.close()
        assert (answer.status, answer.content_type) == (500, None)
        return answer.body.splitlines()[0]

    assert b"Object arrays cannot be loaded when allow_pickle=False" in loop.run_until_complete(
        message(allow_pickle=False)
    )
    assert b"can't convert np.ndarray of type numpy.object_" in loop.run_until_complete(message(allow_pickle=True))


@pytest.mark.parametrize(("body", "content_type"), [(b"3", "application/json"), (b" 7\n", "text/csv")])
def test_single_number_is_refused_by_the_default_input_fn(loop, parent, log, body, content_type):
    model = Path(__file__).parent / "contract" / "models" / "ts_default"

    async def scenario():
        pool = WorkerPool(model, parent=parent, log=log.append)
        await pool.start()
        answer = await pool.invoke(Request("POST", "/invocations", (("Content-Type", content_type),), body))
        await pool.close()
        assert answer.status == 500
        assert answer.reason.startswith(f"A single number ({body.decode().strip()}) is no input")

    loop.run_until_complete(scenario())


@pytest.mark.parametrize("second_dies", [False, True])
def test_request_that_a_dying_worker_had_not_read_goes_once_to_another(loop, make_pool, log, tmp_path, second_dies):
    async def scenario():
        pool = make_pool(workers=2)
        await pool.start()
        first, second = [int((await pool.invoke(order(eval="os.getpid()"))).body) for _ in range(2)]
        for pid in (first, second):
            os.kill(pid, signal.SIGSTOP)  # it reads nothing any more
        served = tmp_path / "served"
        asked = asyncio.create_task(pool.invoke(order(begun=str(served), eval="os.getpid()")))
        await asyncio.sleep(0)
        os.kill(first, signal.SIGKILL)
        await until(lambda: any(line.startswith("Worker died") for line in log))
        assert not asked.done()
        os.kill(second, signal.SIGKILL if second_dies else signal.SIGCONT)
        answer = await asked
        if second_dies:
            assert (answer.status, served.exists()) == (507, False)
        else:
            assert (int(answer.body), served.read_text()) == (second, "x")

    loop.run_until_complete(scenario())


def test_metrics_are_lines_of_the_log(loop, make_pool, log):
    code = """
from ts.metrics.dimension import Dimension
from ts.metrics.metric_type_enum import MetricTypes
def model_fn(model_dir, context):
    context.metrics.add_counter("loads", 1)
    return context.metrics.add_metric_to_cache("size", "MB", ["what"], MetricTypes.GAUGE)
def transform_fn(model, body, content_type, accept, context):
    metrics = context.metrics
    metrics.add_metric("rows", 3, "pieces", 0, [Dimension("kind", "x")])
    metrics.add_time("wait", 1.5)
    metrics.add_size("body", len(body), unit="B")
    metrics.add_percent("load", 50)
    metrics.add_error("errors", 2)
    model.add_or_update(7, ["weights"])
    model.add_or_update(7, [])
    metrics.add_counter("loads", -1)
    assert metrics.get_metric("size", MetricTypes.GAUGE) is model
    try: metrics.add_time("wait", 1, unit="h")
    except ValueError as error: return str(error)
"""

    async def scenario():
        pool = make_pool(code)
        await pool.start()
        answer = await pool.invoke(order())
        assert answer.body == b"the unit for a timed metric should be one of ['ms', 's']"
        return dict(answer.headers)["x-request-id"]

    request_id = loop.run_until_complete(scenario())
    model = "ModelName:model,Level:Model"
    expected = [
        f"loads.Count:1|#{model}|#type:COUNTER|#hostname:",
        f"rows.pieces:3|#kind:x,{model}|#type:COUNTER|#hostname:",
        f"wait.Milliseconds:1.5|#{model}|#type:GAUGE|#hostname:",
        f"body.Bytes:2|#{model}|#type:GAUGE|#hostname:",
        f"load.Percent:50|#{model}|#type:GAUGE|#hostname:",
        "errors.unit:2|#Level:Error|#type:COUNTER|#hostname:",
        "size.Megabytes:7|#what:weights|#type:GAUGE|#hostname:",
        "Failed to update metric with name:size and dimensions:  with value: 7: Dimension values: [] should",
        f"Failed to update metric with name:loads and dimensions: {model}",
    ]
    lines = [line.removeprefix("[METRICS]") for line in log if line.startswith("[METRICS]")]
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)
    assert [line.endswith(f",{request_id}") for line in lines[:6]] == [False, True, True, True, True, False]


def test_every_request_is_answered_while_workers_die_and_are_killed(loop, make_pool):
    async def scenario():
        pool = make_pool(workers=2)
        await pool.start()

        async def caller(number: int) -> list[int]:
            what = order(exit=1) if number % 4 == 0 else order(eval="os.getpid()")
            statuses = []
            for _ in range(10):
                answer = await pool.invoke(what)
                statuses.append(answer.status)
                if answer.status == 200 and number == 1:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(answer.body), 9)
            return statuses

        outcomes = await asyncio.gather(*map(caller, range(12)))
        for number, statuses in enumerate(outcomes):
            assert set(statuses) <= ({500, 507} if number % 4 == 0 else {200, 507})
        answers = await asyncio.gather(*(pool.invoke(order(eval="os.getpid()")) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}

    loop.run_until_complete(scenario())


def test_handlers_find_no_credentials_of_the_users(loop, make_pool, tmp_path):
    async def scenario():
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id=A\naws_secret_access_key=B\n")
        pool = make_pool(environ={"HOME": str(tmp_path)})
        await pool.start()
        answer = await pool.invoke(order(eval="__import__('boto3').Session().get_credentials() is None"))
        assert answer.body == b"true"

    loop.run_until_complete(scenario())


FORKS_TWICE = """
import errno, os
forks, fork = [], os.fork
def few():
    if len(forks) == 2: raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    forks.append(None)
    return fork()
os.fork = few
"""


def test_a_fork_that_fails_leaves_the_workers_that_there_are(loop, log, tmp_path, write_model):
    async def scenario():
        (tmp_path / "sitecustomize.py").write_text(FORKS_TWICE)
        with tempfile.TemporaryDirectory(prefix="sm-", dir="/tmp") as directory:
            environ = {"PYTHONPATH": str(tmp_path)}
            parent = await WarmParent.start(sys.executable, Path(directory), environ=environ)
            model_dir = write_model(OBEDIENT)
            pool = WorkerPool(model_dir, parent=parent, log=log.append)
            try:
                await pool.start()
                more = WorkerPool(model_dir, parent=parent, log=log.append, workers=2)
                with pytest.raises(ParentFailed, match="No worker can be forked: Resource temporarily unavailable"):
                    await more.start()
                assert (await pool.invoke(order(eval="7"))).body == b"7"
            finally:
                await pool.close(drain=0)
                await parent.close()

    loop.run_until_complete(scenario())


def test_start_up_files_may_print(loop, tmp_path, log, write_model):
    async def scenario():
        (tmp_path / "sitecustomize.py").write_text("import sys; print('welcome' * 50_000); print('x', file=sys.stderr)")
        with tempfile.TemporaryDirectory(prefix="sm-", dir="/tmp") as directory:
            parent = await WarmParent.start(sys.executable, Path(directory), environ={"PYTHONPATH": str(tmp_path)})
            pool = WorkerPool(write_model(OBEDIENT), parent=parent, log=log.append)
            await pool.start()
            assert (await pool.invoke(order(eval="7"))).body == b"7"
            await pool.close(drain=0)
            await parent.close()

    loop.run_until_complete(scenario())


@pytest.mark.parametrize("said", [{"ready": True}, {"failed": "Traceback"}])
def test_worker_that_nobody_waits_for_any_more_may_say_what_it_wants(loop, log, said):
    async def scenario():
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        worker = Worker(Forked(1, socket.socket(), reading, loop.create_future(), lambda: None), log.append)
        worker._loaded.cancel()
        worker.data_received(frame(said))
        worker._log.close()
        worker._forked.connection.close()
        os.close(writing)

    loop.run_until_complete(scenario())


def test_an_interpreter_that_never_gets_ready_is_given_up(loop, tmp_path, monkeypatch):
    async def scenario():
        (tmp_path / "sitecustomize.py").write_text("import sys; print('x' * 300_000, file=sys.stderr); input()")
        with tempfile.TemporaryDirectory(prefix="sm-", dir="/tmp") as directory:
            monkeypatch.setattr("sm_magics.serving.process.START_SECONDS", 1.0)
            with pytest.raises(ParentFailed, match="was not ready to fork workers"):
                await WarmParent.start(sys.executable, Path(directory), environ={"PYTHONPATH": str(tmp_path)})

    loop.run_until_complete(scenario())
