package dev.edgestill.engines

import dev.edgestill.core.Engine
import dev.edgestill.core.EngineError
import dev.edgestill.core.EngineFactory
import dev.edgestill.core.ModelFile
import dev.edgestill.core.TensorSpec
import dev.edgestill.core.sha256
import java.io.File
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/**
 * A `.pte` in ExecuTorch with its XNNPACK delegate, as `org.pytorch:executorch-android` brings it.
 *
 * It reads files only by their path, so that the checked bytes are written into a folder of the app's own.
 */
class ExecuTorchEngine private constructor(private val file: File, entry: ModelFile, threads: Int) : Engine {
    private val input = entry.inputs.single()
    private val output = entry.outputs.single()
    private val shape = LongArray(input.shape.size) { input.shape[it].toLong() }
    private val module = refusing("does not take this file") { Module.load(file.path, Module.LOAD_MODE_FILE, threads) }
    private val answer = ByteBuffer.allocateDirect(output.count * sizeOf(output)).order(ByteOrder.nativeOrder())

    override val name = "ExecuTorch"

    override fun run(input: ByteBuffer): ByteBuffer {
        val result = refusing("failed on this input") {
            val tensor = if (this.input.dtype == "int8") Tensor.fromBlob(input, shape) else Tensor.fromBlob(input.asFloatBuffer(), shape)
            module.forward(EValue.from(tensor))[0].toTensor()
        }
        if (result.numel() != output.count.toLong()) {
            throw EngineError("the manifest says the output has ${output.count} numbers, ExecuTorch found ${result.numel()}; make the bundle again")
        }
        rewind()
        refusing("gives another dtype than the manifest says") {
            if (output.dtype == "int8") answer.put(result.dataAsByteArray) else answer.asFloatBuffer().put(result.dataAsFloatArray)
        }
        rewind()
        return answer
    }

    // The method that returns a Buffer: Android 8 has no other.
    private fun rewind() = (answer as Buffer).clear()

    override fun close() {
        module.destroy()
        file.delete()
    }

    /** @property folder a private one, for the files while they are open. */
    class Factory(private val folder: File) : EngineFactory {
        override fun open(content: ByteArray, file: ModelFile, threads: Int): Engine {
            val path = File.createTempFile(sha256(content).take(16), ".pte", folder.apply { mkdirs() })
            try {
                path.writeBytes(content)
                return ExecuTorchEngine(path, file, threads)
            } catch (error: EngineError) {
                path.delete()
                throw error
            } catch (error: LinkageError) {
                path.delete()
                throw EngineError("ExecuTorch has no library for this processor: ${error.message}", error)
            } catch (error: java.io.IOException) {
                path.delete()
                throw EngineError("there is no room for the model: ${error.message}", error)
            }
        }
    }

    private companion object {
        fun sizeOf(spec: TensorSpec) =
            when (spec.dtype) {
                "int8" -> 1
                "float32" -> 4
                else -> throw EngineError("ExecuTorch's Java library takes int8 and float32, not ${spec.dtype}")
            }

        /** ExecuTorch's own errors are RuntimeExceptions of several kinds. */
        fun <T> refusing(what: String, act: () -> T): T =
            try {
                act()
            } catch (error: RuntimeException) {
                throw EngineError("ExecuTorch $what: ${error.message}", error)
            }
    }
}
