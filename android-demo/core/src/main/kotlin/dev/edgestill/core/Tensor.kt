package dev.edgestill.core

/** Real numbers of one output of a model: [shape] begins with the number of samples, [values] are in C order. */
class Tensor(val shape: List<Int>, val values: FloatArray) {
    /** Numbers of one sample. */
    val columns: Int get() = shape.drop(1).fold(1, Int::times)

    /** One sample alone, `(1, …)`. */
    fun sample(number: Int) = Tensor(listOf(1) + shape.drop(1), values.copyOfRange(number * columns, (number + 1) * columns))

    companion object {
        /** Samples one after the other, `(N, …)`, of `(1, …)` each. */
        fun of(samples: List<Tensor>): Tensor {
            val shape = listOf(samples.size) + samples.first().shape.drop(1)
            val values = FloatArray(samples.size * samples.first().columns)
            samples.forEachIndexed { number, one -> one.values.copyInto(values, number * one.values.size) }
            return Tensor(shape, values)
        }
    }
}

/** What is right for each sample, (N, …), in C order: whatever type of numbers a task's data have, a double holds it. */
class Targets(val shape: List<Int>, val values: DoubleArray)
