"""Ways to run a file, each as its own documentation shows it, and the process that is measured.

`python contenders.py cold NAME FILE THREADS` loads, runs once, prints what that took, and ends.
`python contenders.py warm FILE THREADS NAME …` loads them all, then answers each line of standard input, a number of
seconds, with the milliseconds of every call that each made in its turn.

Nothing but the standard library is imported before the clock starts.
"""

import time

STARTED = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402

WARM_UP_CALLS = 20
TURN_SECONDS = 0.002


def face(file, threads, engine):
    """edgestill_runtime: what this project's users call."""
    import numpy

    from edgestill_runtime import load

    model = load(file, engine, threads)
    value = numpy.ones(model.input.shape, model.input.dtype)
    return lambda: model.invoke(value)


def face_litert(file, threads):
    return face(file, threads, "litert/ai-edge-litert")


def face_executorch(file, threads):
    return face(file, threads, "executorch/edgestill-executorch")


DTYPES = {1: "int8", 6: "float32"}  # of executorch/exir/scalar_type.py, those that are met here


def raw_litert(file, threads):
    """ai_edge_litert's Interpreter."""
    import numpy
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=file, num_threads=threads)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    value, source, target = numpy.ones(taken["shape"], taken["dtype"]), taken["index"], given["index"]

    def call():
        interpreter.set_tensor(source, value)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return call


def binding(file, threads):
    """edgestill-executorch by itself."""
    import numpy

    from edgestill_executorch import Program

    method = Program(file).load_method("forward", threads)
    value = numpy.ones(method.inputs[0].shape, method.inputs[0].dtype)
    return lambda: method.run(value)


def official(file, threads):
    """executorch.runtime, with a torch tensor made beforehand."""
    import torch
    from executorch.extension.pybindings import _C
    from executorch.runtime import Runtime

    _C._unsafe_reset_threadpool(threads)
    program = Runtime.get().load_program(file)
    method = program.load_method("forward")
    taken = method.metadata.input_tensor_meta(0)
    value = torch.ones(tuple(taken.sizes()), dtype=getattr(torch, DTYPES[taken.dtype()]))
    return lambda: (method.execute([value]), program)[0]


def light(file, threads):
    """executorch-numpy-runtime, which sets its own number of threads."""
    import executorch_numpy_runtime
    import numpy

    program = executorch_numpy_runtime.Runtime.get().load_program(open(file, "rb").read())  # noqa: SIM115
    method = program.load_method("forward")
    taken = method.metadata["inputs"][0]
    value = numpy.ones(taken["shape"], DTYPES[taken["scalar_type"]])
    return lambda: (method([value]), program)[0]


CONTENDERS = {
    function.__name__: function for function in (face_litert, raw_litert, face_executorch, binding, official, light)
}


def resident_bytes():
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def cold(name, file, threads):
    CONTENDERS[name](file, threads)()
    seconds = time.perf_counter() - STARTED
    print(json.dumps({"seconds": seconds, "resident_bytes": resident_bytes()}))


def warm(file, threads, names):
    calls = {name: CONTENDERS[name](file, threads) for name in names}
    for call in calls.values():
        for _ in range(WARM_UP_CALLS):
            call()
    for line in sys.stdin:
        times = {name: [] for name in calls}
        end = time.perf_counter() + float(line)
        while time.perf_counter() < end:
            for name, call in calls.items():
                call()  # not counted: it finds the caches full of another's data
                turn_ends = time.perf_counter() + TURN_SECONDS
                while True:
                    started = time.perf_counter_ns()
                    call()
                    times[name].append((time.perf_counter_ns() - started) / 1e6)
                    if time.perf_counter() > turn_ends:
                        break
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "cold":
        cold(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        warm(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
