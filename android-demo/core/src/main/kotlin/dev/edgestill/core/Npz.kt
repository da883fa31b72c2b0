package dev.edgestill.core

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream
import java.util.zip.ZipOutputStream

/** An array of numpy's: `descr` such as `|u1` or `<f4`, C order, and its bytes. */
class NpyArray(val descr: String, val shape: List<Int>, val bytes: ByteBuffer)

private val MAGIC = byteArrayOf(0x93.toByte(), 'N'.code.toByte(), 'U'.code.toByte(), 'M'.code.toByte(), 'P'.code.toByte(), 'Y'.code.toByte())
private val HEADER = Regex("""'descr': '([^']+)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\)""")
private const val ALIGNMENT = 64

/**
 * The arrays of an `.npz` by name (NEP 1, versions 1 and 2).
 *
 * @throws InputError it is none, or an array is in Fortran's order.
 */
fun readNpz(content: ByteArray): Map<String, NpyArray> {
    val found = LinkedHashMap<String, NpyArray>()
    try {
        ZipInputStream(ByteArrayInputStream(content)).use { archive ->
            while (true) {
                val entry = archive.nextEntry ?: break
                found[entry.name.removeSuffix(".npy")] = readNpy(archive.readBytes())
            }
        }
    } catch (error: java.io.IOException) {
        throw InputError("an npz that cannot be read: ${error.message}")
    }
    if (found.isEmpty()) throw InputError("an npz that holds nothing")
    return found
}

private fun readNpy(content: ByteArray): NpyArray {
    if (content.size < 12 || !content.copyOf(6).contentEquals(MAGIC)) throw InputError("an array that is none of numpy's")
    val numbers = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
    val (start, length) = if (content[6].toInt() == 1) 10 to numbers.getShort(8).toInt() else 12 to numbers.getInt(8)
    if (length < 0 || start + length > content.size) throw InputError("an array that is cut off")
    val header = String(content, start, length, Charsets.ISO_8859_1)
    val (descr, fortran, sizes) = HEADER.find(header)?.destructured ?: throw InputError("an array with the header $header")
    if (fortran == "True") throw InputError("an array in Fortran's order")
    val shape = sizes.split(',').map { it.trim() }.filter { it.isNotEmpty() }.map { it.toInt() }
    return NpyArray(descr, shape, ByteBuffer.wrap(content, start + length, content.size - start - length).slice().order(ByteOrder.LITTLE_ENDIAN))
}

/** Tensors of float32, as an `.npz`. */
fun writeNpz(arrays: Map<String, Tensor>): ByteArray {
    val output = ByteArrayOutputStream()
    ZipOutputStream(output).use { archive ->
        for ((name, tensor) in arrays) {
            archive.putNextEntry(ZipEntry("$name.npy"))
            archive.write(writeNpy(tensor))
            archive.closeEntry()
        }
    }
    return output.toByteArray()
}

private fun writeNpy(tensor: Tensor): ByteArray {
    val plain = "{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple(tensor.shape)}, }"
    val header = (plain + " ".repeat(ALIGNMENT - (11 + plain.length) % ALIGNMENT) + "\n").toByteArray(Charsets.ISO_8859_1)
    val content = ByteBuffer.allocate(10 + header.size + 4 * tensor.values.size).order(ByteOrder.LITTLE_ENDIAN)
    content.put(MAGIC).put(1).put(0).putShort(header.size.toShort()).put(header)
    for (value in tensor.values) content.putFloat(value)
    return content.array()
}
