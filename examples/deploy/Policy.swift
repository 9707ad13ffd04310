import Foundation
import OnnxRuntimeBindings  // of the Swift package; with CocoaPods: import onnxruntime_objc

/// A policy of numbered actions that `edgerl export` wrote, with the window that it acts on.
///
/// Frames are uint8, of the policy's own size: gray, height * width, or RGB, all of red first. ONNX Runtime's interface
/// for Swift does not read a model's metadata, so the app says what a window is (`Player.about` in Python shows it).
final class Policy {
    enum Refused: Error { case frame, model }

    /// Of each action at the last act.
    private(set) var values: [Float] = []

    private let environment: ORTEnv
    private let session: ORTSession
    private let shape: [NSNumber]
    private let repeatsFirst: Bool
    private let frameSize: Int
    private var window: [UInt8]
    private var isFirst = true

    /// `channels`: of one frame, 1 or 3. `repeatsFirst`: whether an episode's first frame stands for those before it.
    init(path: String, frames: Int, channels: Int, height: Int, width: Int, repeatsFirst: Bool) throws {
        environment = try ORTEnv(loggingLevel: .error)
        let options = try ORTSessionOptions()
        try options.setIntraOpNumThreads(1)
        session = try ORTSession(env: environment, modelPath: path, sessionOptions: options)
        shape = [1, frames * channels, height, width].map { NSNumber(value: $0) }
        frameSize = channels * height * width
        window = [UInt8](repeating: 0, count: frames * frameSize)
        self.repeatsFirst = repeatsFirst
    }

    /// Forget all frames: the next one is the first of an episode.
    func reset() {
        isFirst = true
    }

    /// The number of the policy's action after one more frame.
    func act(_ frame: [UInt8]) throws -> Int {
        guard frame.count == frameSize else { throw Refused.frame }
        push(frame)
        let pixels = NSMutableData(bytes: window, length: window.count)
        let windows = try ORTValue(tensorData: pixels, elementType: .uInt8, shape: shape)
        let outputs = try session.run(
            withInputs: ["windows": windows], outputNames: ["action", "values"], runOptions: nil)
        guard let action = outputs["action"], let ofActions = outputs["values"] else { throw Refused.model }
        values = try (ofActions.tensorData() as Data).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        return try (action.tensorData() as Data).withUnsafeBytes { Int($0.load(as: Int64.self)) }
    }

    private func push(_ frame: [UInt8]) {
        if isFirst {
            let count = window.count / frameSize
            window = repeatsFirst ? Array(repeatElement(frame, count: count).joined()) : window.map { _ in 0 }
        }
        window.removeFirst(frameSize)
        window.append(contentsOf: frame)
        isFirst = false
    }
}
