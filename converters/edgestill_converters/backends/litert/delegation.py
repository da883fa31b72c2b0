"""Which operators of a `.tflite` LiteRT delegates: a script of its own, so that it starts without torch.

The only user of a private API of ai-edge-litert: see `edgestill_converters/private/`.

python -P delegation.py < model.tflite      # prints {number of the operator: number of the partition} as JSON
"""

import json
import sys


def main() -> None:
    """Load the file from standard input, print which operators are delegated."""
    from ai_edge_litert.interpreter import Interpreter

    content = sys.stdin.buffer.read()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    plain = [one for one in operators if one["op_name"] != "DELEGATE"]
    producer = {int(index): number for number, one in enumerate(plain) for index in one["outputs"]}
    partitions: dict[int, int] = {}
    for partition, one in enumerate(one for one in operators if one["op_name"] == "DELEGATE"):
        border = {int(index) for index in one["inputs"]}
        waiting = [int(index) for index in one["outputs"]]
        while waiting:
            number = producer.get(waiting.pop())
            if number is None or number in partitions:
                continue
            partitions[number] = partition
            waiting += [int(index) for index in plain[number]["inputs"] if int(index) not in border]
    print(json.dumps(partitions))


if __name__ == "__main__":
    main()
