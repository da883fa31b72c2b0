package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.LOGITS
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec

/** A model without a known task: no predictions and no measures; use `Model.outputs`. */
open class Tensors internal constructor(private val nothing: String = "nothing says what its outputs mean; use outputs") : Task(Tensors, listOf(), LOGITS) {
    override fun check(outputs: List<TensorSpec>) = Unit

    override fun answer(outputs: List<Tensor>, options: Map<String, Any>): Answer = throw InputError(nothing)

    override fun quality(outputs: List<Tensor>, targets: Targets): Map<String, Double> = throw InputError(nothing)

    override fun same(first: List<Tensor>, second: List<Tensor>): BooleanArray = throw InputError(nothing)

    companion object : TaskClass {
        override val name = "tensors"

        override fun create(labels: List<String>, settings: Map<String, Any?>, scores: String): Task = Tensors()
    }
}

/** A custom task, which this app has no class for. */
class UnknownTask(name: String) : Tensors("its task is $name, which is none of edgestill's: give its class, Model(…, task = …), or use outputs")
