import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.nio.ByteBuffer

/**
 * A policy of numbered actions that `edgerl export` wrote, with the window that it acts on.
 *
 * Frames are uint8, of the policy's own size: gray [height * width], or RGB [3 * height * width], all of red first.
 * With onnxruntime-android: `Policy(assets.open("policy.onnx").readBytes())`.
 */
class Policy(model: ByteArray) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session = environment.createSession(model, OrtSession.SessionOptions().apply {
        setIntraOpNumThreads(1)
        setCPUArenaAllocator(false)
    })

    /** What the file says of itself: JSON. */
    val about: String = requireNotNull(session.metadata.customMetadata["edgerl"]) { "no policy of `edgerl export`" }

    /** Of each action at the last act. */
    var values = FloatArray(0)
        private set

    private val shape = (session.inputInfo.getValue("windows").info as TensorInfo).shape.also { it[0] = 1 }
    private val window = ByteBuffer.allocateDirect(shape.reduce(Long::times).toInt())
    private val frameSize = window.capacity() / Regex("\"frames\": (\\d+)").find(about)!!.groupValues[1].toInt()
    private val repeatsFirst = "\"before_first\": \"first\"" in about
    private var isFirst = true

    init {
        require("\"kind\": \"discrete\"" in about) { "its actions are vectors: read `action` as float [1][size]" }
    }

    /** Forget all frames: the next one is the first of an episode. */
    fun reset() {
        isFirst = true
    }

    /** The number of the policy's action after one more frame. */
    fun act(frame: ByteArray): Int {
        push(frame)
        OnnxTensor.createTensor(environment, window, shape, OnnxJavaType.UINT8).use { windows ->
            session.run(mapOf("windows" to windows)).use { outputs ->
                values = (outputs["values"].get().value as Array<*>)[0] as FloatArray
                return (outputs["action"].get().value as LongArray)[0].toInt()
            }
        }
    }

    private fun push(frame: ByteArray) {
        require(frame.size == frameSize) { "a frame has $frameSize bytes, not ${frame.size}" }
        val pixels = ByteArray(window.capacity())
        if (isFirst && repeatsFirst) {
            for (start in pixels.indices step frameSize) frame.copyInto(pixels, start)
        } else if (!isFirst) {
            window.position(frameSize)
            window.get(pixels, 0, pixels.size - frameSize)
        }
        frame.copyInto(pixels, pixels.size - frameSize)
        window.rewind()
        window.put(pixels)
        window.rewind()
        isFirst = false
    }

    override fun close() = session.close()
}
