package dev.edgestill.core

import java.io.Closeable
import java.nio.ByteBuffer

/** A loaded model file of one input and one output. One call at a time. */
interface Engine : Closeable {
    /** Engine and version, such as `LiteRT 2.21.0`. */
    val name: String

    /**
     * Run the bytes of the input (direct, native order, from position 0) and return the bytes of the output, which stay
     * what they are until the next call.
     */
    @Throws(EngineError::class)
    fun run(input: ByteBuffer): ByteBuffer
}

/** What makes an engine of a file's checked bytes, on so many threads. */
fun interface EngineFactory {
    @Throws(EngineError::class)
    fun open(content: ByteArray, file: ModelFile, threads: Int): Engine
}

/** A factory for each engine that a manifest names: `litert`, `executorch`. */
typealias EngineFactories = Map<String, EngineFactory>
