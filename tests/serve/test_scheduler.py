"""The scheduler of steps, with tasks that only count: shares, order, bounds, ends, estimates."""

import threading
import time

import pytest

from latentaudio.serve.scheduler import (
    CancelledError,
    DeadlineError,
    QueueFullError,
    Scheduler,
    StoppedError,
    Task,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Bench:
    """A scheduler whose steps take 1/8 s of its own clock, and a log of what it ran."""

    def __init__(self, **settings):
        self.clock = Clock()
        self.log = []
        self.closed = []
        self.ends = {}
        self.times = {}
        self.names = {}
        self.scheduler = Scheduler(self.steps, clock=self.clock, **settings)

    def steps(self, tasks):
        names = "+".join(self.names[task] for task in tasks)
        try:
            for number in range(int(tasks[0].num_units)):
                self.clock.now += 0.125
                if number == 3 and "bad" in names:
                    raise ValueError("bad task")
                for task in tasks:
                    task.num_done += 1
                self.log.append(names)
                yield None
        finally:
            self.closed.append(names)

    def add(self, name, group="a", num_units=5, **settings):
        def on_end(error):
            assert name not in self.ends
            self.ends[name] = error
            self.times[name] = self.clock.now

        task = Task(group, "mini", num_units, on_end, **settings)
        self.names[task] = name
        self.scheduler.submit(task)
        return task

    def finish(self):
        while self.scheduler.step():
            pass
        return list(dict.fromkeys(self.log))

    def turns(self):
        """Names in the order of the log, neighbors once."""
        return [n for n, before in zip(self.log, [None, *self.log], strict=False) if n != before]


def test_shortest_task_of_a_client_runs_first_even_if_it_comes_later():
    bench = Bench()
    bench.add("long", num_units=8)
    bench.add("short", num_units=5)
    bench.scheduler.step()
    bench.add("shortest", num_units=2)
    bench.finish()
    assert bench.turns() == ["short", "shortest", "short", "long"]
    assert bench.ends == {"short": None, "shortest": None, "long": None}


def test_clients_take_turns_of_one_second():
    bench = Bench(turn_s=1.0)
    bench.add("a", "a", 24)
    bench.add("b", "b", 24)
    bench.add("c", "c", 5)
    bench.finish()
    assert bench.turns() == ["a", "b", "c", "a", "b", "a", "b"]
    assert [bench.log[:37].count(name) for name in "abc"] == [16, 16, 5]


def test_a_client_with_many_tasks_gets_no_more_than_one_with_few():
    bench = Bench(turn_s=0.5)
    for number in range(20):
        bench.add(f"greedy{number}", "greedy", 5)
    bench.add("modest", "modest", 10)
    bench.finish()
    assert bench.log.index("modest") == 4
    assert max(k for k, name in enumerate(bench.log) if name == "modest") < 21


def test_full_queue_refuses_and_says_when_to_come_back():
    bench = Bench(max_tasks=2)
    bench.add("warm-up", num_units=10)
    bench.finish()
    bench.add("one", num_units=40)
    bench.add("two", num_units=30)
    with pytest.raises(QueueFullError, match="2 requests are waiting") as caught:
        bench.add("three")
    assert caught.value.retry_after_s == pytest.approx((40 + 30) * 0.125 / 2)
    bench.finish()
    bench.add("four")
    assert bench.finish()[-1] == "four"


def test_one_client_cannot_fill_the_queue():
    bench = Bench(max_tasks=10, max_tasks_per_group=2)
    bench.add("one")
    bench.add("two")
    with pytest.raises(QueueFullError):
        bench.add("three")
    bench.add("other", "b")


@pytest.mark.parametrize("num_steps", [0, 1, 3])
def test_cancel_frees_the_place_at_the_next_step(num_steps):
    bench = Bench(max_tasks=1)
    task = bench.add("one")
    for _ in range(num_steps):
        bench.scheduler.step()
    bench.scheduler.cancel(task, CancelledError("enough"))
    bench.add("two")  # there is a place at once
    bench.scheduler.step()
    assert isinstance(bench.ends["one"], CancelledError)
    assert bench.closed == (["one"] if num_steps else [])
    bench.finish()
    assert bench.log.count("one") == num_steps
    assert bench.ends["two"] is None


def test_cancel_of_a_task_that_has_ended_changes_nothing():
    bench = Bench()
    task = bench.add("one")
    bench.finish()
    bench.scheduler.cancel(task, CancelledError("late"))
    bench.finish()
    assert bench.ends == {"one": None}


def test_deadline_ends_tasks_that_wait_and_that_run():
    bench = Bench()
    bench.add("running", num_units=20, deadline=0.7)
    bench.add("waiting", "b", deadline=0.7)
    bench.finish()
    assert bench.log.count("running") == 6
    assert "waiting" not in bench.log
    assert {type(error) for error in bench.ends.values()} == {DeadlineError}


def test_error_of_one_task_leaves_the_others():
    bench = Bench()
    bench.add("bad")
    bench.add("good", "b")
    bench.finish()
    assert isinstance(bench.ends["bad"], ValueError)
    assert bench.ends["good"] is None


def test_batch_joins_waiting_tasks_with_one_key_only():
    bench = Bench(batch_size=3)
    for name, key in (("a", 1), ("b", 2), ("c", 1), ("exact", None), ("d", 1), ("e", 1)):
        bench.add(name, name, batch_key=key)
    bench.finish()
    assert bench.turns() == ["a+c+d", "b", "exact", "e"]


def test_batch_goes_on_when_one_of_it_leaves():
    bench = Bench(batch_size=2)
    first = bench.add("a", "a", batch_key=1)
    second = bench.add("b", "b", batch_key=1)
    bench.scheduler.step()
    bench.scheduler.cancel(first, CancelledError("enough"))
    bench.scheduler.step()
    assert bench.closed == []
    bench.scheduler.cancel(second, CancelledError("enough"))
    bench.scheduler.step()
    assert bench.closed == ["a+b"]
    assert set(bench.ends) == {"a", "b"}


def test_places_tell_who_is_next_and_when():
    bench = Bench(turn_s=1.0)
    bench.add("warm-up", num_units=10)
    bench.finish()
    tasks = [bench.add(name, name, units) for name, units in (("a", 20), ("b", 5), ("c", 15))]
    bench.scheduler.step()
    places = [bench.scheduler.places()[task] for task in tasks]
    assert [place.position for place in places] == [0, 1, 2]
    promised = [bench.clock.now + place.eta_s for place in places]
    bench.finish()
    assert promised == pytest.approx([bench.times[name] for name in "abc"])
    assert promised == pytest.approx([6.25, 2.875, 5.75])


def test_places_have_no_time_before_the_speed_is_known():
    bench = Bench()
    task = bench.add("one")
    assert bench.scheduler.places()[task].eta_s is None


def test_stop_ends_all_tasks_and_the_thread():
    bench = Bench()
    bench.add("one", num_units=1e9)
    bench.add("two", "b", num_units=1e9)
    thread = threading.Thread(target=bench.scheduler.run)
    thread.start()
    time.sleep(0.05)
    bench.scheduler.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert {type(error) for error in bench.ends.values()} == {StoppedError}
    with pytest.raises(StoppedError):
        bench.add("three")


def test_many_threads_submit_and_cancel_without_a_loss():
    done = []
    lock = threading.Lock()

    def steps(tasks):
        for _ in range(3):
            tasks[0].num_done += 1
            yield None

    scheduler = Scheduler(steps, max_tasks=10_000, turn_s=1e-5)
    worker = threading.Thread(target=scheduler.run)
    worker.start()

    def client(name):
        for number in range(50):

            def on_end(error, key=(name, number)):
                with lock:
                    done.append(key)

            task = Task(name, "mini", 3, on_end)
            scheduler.submit(task)
            if number % 3 == 0:
                scheduler.cancel(task, CancelledError("enough"))
            scheduler.places()

    threads = [threading.Thread(target=client, args=(f"c{k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limit = time.monotonic() + 30
    while scheduler.num_tasks and time.monotonic() < limit:
        time.sleep(0.01)
    scheduler.stop()
    worker.join(timeout=10)
    assert len(done) == len(set(done)) == 8 * 50
