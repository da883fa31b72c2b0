package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class TensorsTest {
    @Test
    fun `whatever a file gives fits, and is no answer`() {
        val task = taskOf("tensors", listOf("a"))
        task.check(listOf(TensorSpec(listOf(1, 2, 3), "float32"), TensorSpec(listOf(1), "int8")))
        val error = assertThrows(InputError::class.java) { task.answer(listOf(Tensor(listOf(1, 1), floatArrayOf(1f)))) }
        assertEquals("nothing says what its outputs mean; use outputs", error.message)
    }

    @Test
    fun `every task is found by the name that it has`() {
        assertEquals(listOf("image-classification", "multi-label-classification", "regression", "tensors"), TASKS.keys.toList())
    }
}
