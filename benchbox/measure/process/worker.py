"""What happens in a process that measures?

``python -m benchbox.measure.process.worker FOLDER`` reads FOLDER/request, does what it asks for (a pass of a trial, or
the accuracy on labelled pictures), writes FOLDER/answer, and ends. The answer goes through a file because native
libraries print to standard output as they like. The parent is ``trials.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import errno
import functools
import gc
import os
import pickle
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.base import (
    BACKENDS,
    CapturingSession,
    DeviceSession,
    LayeredSession,
    LayerReporting,
    OpenRequest,
    SharingSession,
)
from benchbox.backends.cuda.driver import PCI_OPTION
from benchbox.errors import BenchboxError, MeasurementError, UsageError, one_line
from benchbox.machine.counters import differences, resident_bytes
from benchbox.machine.gpu.nvml import free_bytes, users_now
from benchbox.machine.gpu.watch import GpuWatch, gpu_watch
from benchbox.machine.probes import probes_after, probes_before
from benchbox.measure.accuracy import AccuracyRequest, result_from_request
from benchbox.measure.ceilings.native import (
    ProductRequest,
    StreamRequest,
    product_from_request,
    streams_from_request,
)
from benchbox.measure.energy.trial import energy_of_session
from benchbox.measure.loadgen.trial import loadgen_trial
from benchbox.measure.loop.clock_steps import SteadyClock, kernel_ns, require_forward
from benchbox.measure.loop.compilations import counters_of
from benchbox.measure.loop.floor import floor_ns, gpu_floor_ns
from benchbox.measure.loop.gated import gated_times
from benchbox.measure.loop.modes import issuing, sessions_of
from benchbox.measure.loop.sampling import sample
from benchbox.measure.loop.turns import TURNS, Turns, taking_turns
from benchbox.measure.loop.warmup import warm_up
from benchbox.measure.process.delayed import DelayedSession
from benchbox.measure.process.leaks import growth, held_bytes, leaks
from benchbox.measure.process.memory import memory_trial
from benchbox.measure.process.opening import open_request
from benchbox.measure.process.outputs import outputs_of, outputs_seen
from benchbox.measure.process.profiling import (
    MarkedIssuer,
    captured_by_profilers,
    counters_of_profiling,
    mark_inferences,
    marking,
    phase,
)
from benchbox.measure.process.trials import PARENT, unwritable_answer, write_progress
from benchbox.metrics.device_times import CAPTURED
from benchbox.metrics.workload import inferences_per_sample
from benchbox.schema.artifact import Hop
from benchbox.schema.plan import LOADGEN_MODES, TRANSFER_INSIDE, TRANSFER_TIMED, WAIT_BLOCKING, MeasurementPlan, Mode
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs, runtime_tolerance
from benchbox.stats.batches import joined, samples_of
from benchbox.stats.inputs import arrays_of_samples, seeded_arrays

if TYPE_CHECKING:
    from benchbox.backends.base import Session
    from benchbox.measure.loop.modes import Issuer
    from benchbox.measure.process.trials import TrialRequest

# Longer inferences hardly depend on what is in the caches when they start.
SOON_NS = 100e6
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUT_OF_MEMORY = re.compile(
    r"failed to allocate|bad.alloc|out of memory|can.t allocate|not enough memory", re.IGNORECASE
)


def trial_from_request(request: TrialRequest) -> Trial:
    """Does the pass that the request asks for, in this process, and only in its turns where it takes turns."""
    with taking_turns(request.turn) as turns:
        trial = _trial(request, turns)
    if turns is None:
        return trial
    return replace(trial, counters={**trial.counters, TURNS: float(turns.count)})


def _trial(request: TrialRequest, turns: Turns | None) -> Trial:
    begin = time.perf_counter()
    started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    backend = BACKENDS.get(request.backend)
    backend.probe()  # loads the runtime
    on_gpu = backend.device == "cuda"
    if on_gpu and request.pass_ is Pass.MEMORY:
        # What a network needs: one set of buffers (and of a graph's private memory), not one for each input in turn.
        request = replace(request, plan=replace(request.plan, input_slots=1))
    users_before = users_now() if on_gpu else frozenset()
    free_before = free_bytes() if on_gpu else None
    before_bytes = resident_bytes()
    with contextlib.ExitStack() as closing:
        sessions: list[Session] = []
        first: Session | None = None
        for _ in range(sessions_of(request.plan) if request.pass_ is Pass.TIMING else 1):
            # Several streams share one network where the runtime can: its weights are there once.
            opened = first.another() if isinstance(first, SharingSession) else backend.open(_open_request(request))
            closing.callback(opened.close)
            first = first or opened
            delay = request.plan.injected_delay if request.pass_ is Pass.TIMING else 0.0
            sessions.append(DelayedSession(opened, delay=delay) if delay else opened)
        session, load_s = sessions[0], time.perf_counter() - begin
        if request.pass_ is Pass.TIMING:
            for each in sessions:
                mark_inferences(each)
        # What the libraries made is not garbage: looking through it again would take a tenth of a second a block.
        gc.collect()
        gc.freeze()
        passes: dict[Pass, Callable[[], Trial]] = {
            Pass.CHECK: lambda: _check(request, session),
            Pass.TIMING: lambda: _time(request, sessions, users_before, turns),
            Pass.MEMORY: lambda: memory_trial(
                _blank(request, session),
                session,
                request.plan,
                runtime_bytes=before_bytes,
                users_before=users_before,
                free_before=free_before,
                fill=lambda: _fill_slots(request, session),
            ),
            Pass.ENERGY: lambda: _energy(request, session, users_before),
            Pass.LAYERS: lambda: _layers(request, session),
        }
        trial = passes[request.pass_]()
        return replace(
            trial,
            started_at=started_at,
            duration_s=time.perf_counter() - begin - (turns.waited_ns * 1e-9 if turns else 0.0),
            clock=trial.clock or session.stopwatch.clock,
            evidence=session.evidence(),
            load_s=0.0 if backend.virtual else load_s,
        )


def _open_request(request: TrialRequest) -> OpenRequest:
    plain = open_request(
        request.artifact,
        source=request.source,
        engine=request.engine,
        backend=request.backend,
        precision=request.precision,
        threads=request.plan.threads,
        batch=request.plan.batch,
        root=request.root,
    )
    return replace(
        plain,
        slots=1 if request.pass_ is Pass.CHECK else request.plan.input_slots,
        inspect=request.pass_ in {Pass.CHECK, Pass.LAYERS},
        # Counting replaces the runtime's allocator, so every other process is left as a deployment has it.
        track_memory=request.pass_ is Pass.MEMORY and request.plan.memory_trials > 1 and request.number % 2 == 1,
        transfers=request.pass_ is Pass.TIMING and request.plan.transfer == TRANSFER_INSIDE,
        blocking=request.plan.wait == WAIT_BLOCKING,
        # As trtexec has it; detailed ranges slow every enqueue.
        nvtx="detailed" if marking() else "layer_names_only" if request.plan.like else "none",
    )


def _blank(request: TrialRequest, session: Session) -> Trial:
    return Trial(number=request.number, pass_=request.pass_, started_at="", duration_s=0.0, evidence=session.evidence())


def _check(request: TrialRequest, session: Session) -> Trial:
    """Compares the outputs of all check samples with the expected ones; reports what was executed, layer by layer."""
    artifact = request.artifact
    with phase("check"):
        samples, outputs = _outputs_of_check_samples(request, session, most_rounds=artifact.expected_samples)
    hop = _expected_hop(request, samples, outputs)
    file_hop = None
    if artifact.outputs_path is not None and BACKENDS.get(request.backend).consumes != "module":
        file_hop = _hop(request, artifact.form, artifact.outputs_path, samples, outputs, of_file=True)
    layers = session.reported_layers() if isinstance(session, LayerReporting) else ()
    return replace(_blank(request, session), evidence=session.evidence(), hop=hop, file_hop=file_hop, layers=layers)


def _outputs_of_check_samples(
    request: TrialRequest, session: Session, *, most_rounds: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Runs check samples on slot 0, repeated to fill whole batches, in so many inferences at most.

    Returns:
        The places of the samples, and the outputs by name.
    """
    artifact, batch = request.artifact, request.plan.batch
    rounds = min(most_rounds, -(-artifact.expected_samples // batch))
    samples = np.arange(rounds * batch) % artifact.expected_samples
    made = []
    for part in np.split(samples, rounds):
        session.upload(0, arrays_of_samples(artifact.inputs, seed=artifact.seed, numbers=part.tolist()))
        session.enqueue(0)
        session.synchronize()
        made.append(session.download(0))
    return samples, joined(made, artifact.outputs)


def _expected_hop(request: TrialRequest, samples: np.ndarray, outputs: dict[str, np.ndarray]) -> Hop | None:
    """How far outputs are from the expected ones; None where nobody could say what to expect."""
    artifact = request.artifact
    if artifact.expected_path is None:
        return None
    return _hop(request, artifact.expected_form, artifact.expected_path, samples, outputs)


def _hop(
    request: TrialRequest,
    form: str,
    stored: str,
    samples: np.ndarray,
    outputs: dict[str, np.ndarray],
    *,
    of_file: bool = False,
) -> Hop:
    """How far outputs are from stored ones of the same samples; ``of_file``: from those that the very file gives."""
    rounds = len(samples) // request.plan.batch
    tolerance = TOLERANCES[request.precision]
    if of_file:
        tolerance = runtime_tolerance(request.precision, request.artifact.fallback)
    with np.load(request.root / stored) as file:
        expected = samples_of(
            {name: file[name] for name in file.files}, request.artifact.outputs, samples=samples, inferences=rounds
        )
    return hop_from_outputs(
        form,
        f"{request.backend}-{request.precision}",
        expected,
        outputs,
        tolerance,
        bounded=request.artifact.bounded,
    )


def _fill_slots(request: TrialRequest, session: Session) -> None:
    """Makes distinct random inputs resident in every slot."""
    batch = request.plan.batch
    for slot in range(request.plan.input_slots):
        first = slot * batch
        arrays = seeded_arrays(request.artifact.inputs, seed=request.plan.seed, samples=batch, first=first)
        session.upload(slot, arrays)


def _time(
    request: TrialRequest, sessions: Sequence[Session], users_before: frozenset[int], turns: Turns | None
) -> Trial:
    """Warms up, then samples; counters are read around the samples only, a GPU is looked at between them."""
    session = sessions[0]
    for each in sessions:
        _fill_slots(request, each)
    captured_s = session.capture_s if isinstance(session, CapturingSession) else 0.0
    captured = {**({CAPTURED: captured_s} if captured_s else {}), **counters_of_profiling()}
    # Work on a device hardly depends on the host's CPUs, and on a virtual one nothing runs.
    probing = not isinstance(session, DeviceSession) and not BACKENDS.get(request.backend).virtual
    before = probes_before(request.plan.threads) if probing else {}
    pci_bus_id = session.evidence().options.get(PCI_OPTION, "")
    watched = gpu_watch(users_before=users_before, cuda_pci_bus_id=pci_bus_id)
    with watched if isinstance(session, DeviceSession) else contextlib.nullcontext() as watch:
        if request.plan.mode in LOADGEN_MODES:
            with captured_by_profilers():
                trial = loadgen_trial(_blank(request, session), sessions, request.plan, watch)
        else:
            with issuing(sessions, request.plan) as issuer:
                trial = _timed(request, sessions, issuer, watch, turns)
    after = probes_after(request.plan.threads) if probing else {}
    return replace(trial, counters={**trial.counters, **captured, **before, **after})


def _timed(
    request: TrialRequest, sessions: Sequence[Session], issuer: Issuer, watch: GpuWatch | None, turns: Turns | None
) -> Trial:
    session, plan = sessions[0], request.plan
    real = not BACKENDS.get(request.backend).virtual
    issuer = SteadyClock(issuer, clock=session.stopwatch.clock, other=kernel_ns if real else None)
    with phase("warm-up"):
        warm = warm_up(
            issuer, plan, clock_hz=watch.clock_hz if watch else None, power_w=watch.power_w if watch else None
        )
    first = outputs_of(sessions)
    if warm.typical_ns < SOON_NS:
        issuer.block(plan.input_slots)  # copying outputs took their place in the caches
    if isinstance(session, DeviceSession):
        session.laps.forget()
    if watch:
        watch.begin()
    held, before = held_bytes(session), counters_of(session)
    begin, waited_ns = time.perf_counter(), turns.waited_ns if turns else 0
    look: Callable[[], object] | None = watch.look if watch else None
    if turns:
        look = functools.partial(turns.change, issuer, typical_ns=warm.typical_ns)
    with captured_by_profilers():
        marked: Issuer = MarkedIssuer(issuer)
        result = sample(turns.around(marked) if turns else marked, plan, typical_ns=warm.typical_ns, look=look)
    waited_s = (turns.waited_ns - waited_ns) * 1e-9 if turns else 0.0
    grown = {**differences(before, counters_of(session)), "window_s": time.perf_counter() - begin - waited_s}
    grown |= growth(held, held_bytes(session))
    if watch:
        grown |= watch.seen()
    last = outputs_of(sessions)
    trial = replace(
        _blank(request, session),
        warmup_ns=tuple(warm.times_ns.tolist()),
        settled=warm.settled,
        samples_ns=tuple(result.times_ns.tolist()),
        steady_from=result.steady_from,
        floor_ns=floor_ns(session),
        window_ns=result.window_ns,
        stopped_by=result.stopped_by,
        like=request.plan.like,
        counters=grown,
    )
    if isinstance(session, DeviceSession):
        trial = _with_device_times(trial, session, plan)
    return _looked_at_again(trial, request, sessions, issuer, (first, last)) if real else trial


def _looked_at_again(
    trial: Trial,
    request: TrialRequest,
    sessions: Sequence[Session],
    issuer: Issuer,
    outputs: tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]],
) -> Trial:
    """Adds what further inferences show after everything was timed: leaks of memory, wrong outputs."""
    inferences = inferences_per_sample(request.plan)
    found = leaks(sessions[0], issuer.block, grown=trial.counters, samples=len(trial.samples_ns), inferences=inferences)
    samples, made = _outputs_of_check_samples(request, sessions[0], most_rounds=1)
    reference = _expected_hop(request, samples, made)
    seen = outputs_seen(
        *outputs,
        precision=request.precision,
        reference=reference,
        bounded=request.artifact.bounded,
        finite=all(np.isfinite(array).all() for array in made.values()),
    )
    return replace(trial, counters={**trial.counters, **found}, outputs=seen)


def _with_device_times(trial: Trial, session: DeviceSession, plan: MeasurementPlan) -> Trial:
    """Adds the device's own times of the measured inferences, and of copies where requested."""
    # Streams that run at once hide in each other's events.
    alone = plan.mode is not Mode.CONCURRENT
    require_forward(session.laps.gpu_ns, clock="the device's events")
    timed = replace(
        trial,
        gpu_ns=session.laps.gpu_ns if alone else (),
        enqueue_ns=session.laps.enqueue_ns if alone else (),
        h2d_ns=session.laps.h2d_ns,
        d2h_ns=session.laps.d2h_ns,
        device_window_ns=session.laps.window_ns if alone else 0,
        gpu_floor_ns=gpu_floor_ns(session),
    )
    # After the floor, which drops the laps as this does.
    timed = replace(timed, counters={**timed.counters, **gated_times(session, plan)})
    if plan.transfer != TRANSFER_TIMED:
        return timed
    h2d_ns, d2h_ns = session.transfer_ns(plan.min_samples)
    return replace(timed, h2d_ns=h2d_ns, d2h_ns=d2h_ns)


def _energy(request: TrialRequest, session: Session, users_before: frozenset[int]) -> Trial:
    """Runs inferences over windows of an energy counter, if there is one."""
    _fill_slots(request, session)
    virtual = BACKENDS.get(request.backend).virtual
    energy = energy_of_session(session, request.plan, virtual=virtual, users_before=users_before)
    return replace(_blank(request, session), energy=energy)


def _layers(request: TrialRequest, session: Session) -> Trial:
    """What was executed, layer by layer, with the runtime's own profiler watching."""
    if not isinstance(session, LayeredSession):
        raise UsageError(
            f"{request.backend} does not report its layers",
            remedy="use --backend onnxruntime, or tensorrt on a machine with a GPU",
        )
    _fill_slots(request, session)
    plan = request.plan
    layers = session.executed_layers(warmup=plan.warmup_iterations, iterations=plan.min_samples)
    return replace(_blank(request, session), layers=layers)


def failure_from_error(error: Exception) -> BenchboxError:
    """What a runtime or a network raised, in one line; running out of memory is recognised by its words."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return unwritable_answer(error, Path(error.filename or tempfile.gettempdir()))
    text = " ".join(str(error).split())
    values = f"{type(error).__name__}: {one_line(text) or 'no reason given'}"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        return MeasurementError("the worker ran out of memory", values=values, remedy="try a smaller --batch")
    return MeasurementError(
        "the network failed while it ran",
        values=values,
        remedy="run it outside benchbox to see whether it fails there too",
    )


def die_with_parent() -> bool:
    """Asks the kernel to kill this process when its parent dies, however that happens: nobody waits for its answer.

    To the kernel the parent is the thread that started this process. ``run_trial`` waits in that thread, so it does
    not end before this process does.

    Returns:
        False if the parent is dead already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.environ.get(PARENT, "") in {"", str(os.getppid())}


def main(folder: Path) -> None:
    """Answers the request in the folder; whatever goes wrong is an answer too."""
    if not die_with_parent():
        return
    tempfile.tempdir = str(folder)  # what this process leaves behind when it is killed goes with the folder
    answer_request(folder)


def answer_request(folder: Path) -> None:
    """Reads the request in the folder, does it in this process, and writes the answer or the error."""
    answer: object
    try:
        answer = _answer_to(pickle.loads((folder / "request").read_bytes()), folder)
    except BenchboxError as error:
        answer = error
    except Exception as error:  # a runtime's errors have no common class; the parent reports them in one line
        answer = failure_from_error(error)
    try:
        _write(folder, answer)
    except OSError as error:
        _write(folder, unwritable_answer(error, folder))  # a few hundred bytes in the place of what did not fit


def _answer_to(request: TrialRequest | AccuracyRequest | ProductRequest | StreamRequest, folder: Path) -> object:
    if isinstance(request, ProductRequest):
        return product_from_request(request)
    if isinstance(request, StreamRequest):
        return streams_from_request(request)
    if isinstance(request, AccuracyRequest):
        return result_from_request(request, progress=lambda done: write_progress(folder, done))
    return trial_from_request(request)


def _write(folder: Path, answer: object) -> None:
    draft = folder / "answer.draft"
    draft.write_bytes(pickle.dumps(answer))
    draft.replace(folder / "answer")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
