package dev.edgestill.engines

import dev.edgestill.core.Engine
import dev.edgestill.core.EngineError
import dev.edgestill.core.EngineFactory
import dev.edgestill.core.ModelFile
import dev.edgestill.core.TensorSpec
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithXNNPACK
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite.*

/**
 * A `.tflite` in LiteRT with its XNNPACK delegate, through LiteRT's own C++ interface, as `org.bytedeco:tensorflow-lite`
 * brings it to Android and to desktops alike.
 */
class LiteRtEngine private constructor(content: ByteArray, file: ModelFile, threads: Int) : Engine {
    // In this order, and freed in the other: each reads what was made before it.
    private val bytes = BytePointer(content.size.toLong()).put(content, 0, content.size)
    private val model: FlatBufferModel? = FlatBufferModel.VerifyAndBuildFromBuffer(bytes, content.size.toLong())
    private val operators = BuiltinOpResolverWithXNNPACK()
    private val interpreter = Interpreter(null as Pointer?)
    private val input: TfLiteTensor
    private val output: TfLiteTensor
    private val answer: ByteBuffer

    override val name: String = "LiteRT ${TfLiteVersion().string}"

    init {
        try {
            if (model == null || model.isNull) throw EngineError("LiteRT does not take this file: it is no whole .tflite")
            val built = InterpreterBuilder(model, operators).use { it.apply(interpreter, threads) } == kTfLiteOk
            if (!built || interpreter.isNull || interpreter.AllocateTensors() != kTfLiteOk) {
                throw EngineError("LiteRT cannot run this file: an operator is not one of its own, or memory is short")
            }
            input = interpreter.input_tensor(0)
            output = interpreter.output_tensor(0)
            compare("input", file.inputs.single(), input)
            compare("output", file.outputs.single(), output)
            answer = ByteBuffer.allocateDirect(output.bytes().toInt()).order(ByteOrder.nativeOrder())
        } catch (error: EngineError) {
            close()
            throw error
        }
    }

    override fun run(input: ByteBuffer): ByteBuffer {
        val size = this.input.bytes()
        if (input.remaining().toLong() != size) throw EngineError("the input has ${input.remaining()} bytes; the file takes $size")
        val done = TfLiteTensorCopyFromBuffer(this.input, Pointer(input), size) == kTfLiteOk &&
            interpreter.Invoke() == kTfLiteOk &&
            TfLiteTensorCopyToBuffer(output, Pointer(answer), answer.capacity().toLong()) == kTfLiteOk
        if (!done) throw EngineError("LiteRT failed on this input")
        return answer
    }

    override fun close() = listOf(interpreter, operators, model, bytes).forEach { it?.deallocate() }

    private fun compare(word: String, said: TensorSpec, found: TfLiteTensor) {
        val shape = List(TfLiteTensorNumDims(found)) { TfLiteTensorDim(found, it) }
        val dtype = DTYPES[found.type()]
        if (shape != said.shape || dtype != said.dtype) {
            throw EngineError(
                "the manifest says the $word is ${said.dtype} ${said.shape}, LiteRT found $dtype $shape; make the bundle again",
            )
        }
    }

    companion object : EngineFactory {
        private val DTYPES = mapOf(kTfLiteFloat32 to "float32", kTfLiteInt8 to "int8", kTfLiteUInt8 to "uint8")

        override fun open(content: ByteArray, file: ModelFile, threads: Int): Engine =
            try {
                LiteRtEngine(content, file, threads)
            } catch (error: LinkageError) {
                throw EngineError("LiteRT has no library for this processor: ${error.message}", error)
            }
    }
}
