// Plays a policy that `edgerl export` wrote, with ONNX Runtime and nothing else. For every frame it prints a line: the
// action and the values of all actions, or the components of an action that is a vector.
//
//   act POLICY WxH     < frames     RGB24, as `python -m edgerl_run --camera` reads them; for policies that see gray
//                                   frames, resized by `linear` or of this very size
//   act POLICY windows < windows    uint8 [channels, height, width] each, as training made them; for every policy
//
//   g++ -O2 -std=c++17 -ffp-contract=off act.cpp -I$ORT/include -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib -o act

#include <onnxruntime_cxx_api.h>

#include <cstdio>
#include <stdexcept>
#include <string>

#include "window.hpp"

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Policy {
 public:
  explicit Policy(const char* path) : session_(environment_, path, options()) {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto entry = session_.GetModelMetadata().LookupCustomMetadataMapAllocated("edgerl", allocator);
    about_ = entry ? entry.get() : "";
    if (!says("\"format\": 1,")) throw Refused("this is no policy of `edgerl export`, or one of another format");
    const auto type = session_.GetInputTypeInfo(0);
    shape_ = type.GetTensorTypeAndShapeInfo().GetShape();
    shape_[0] = 1;  // windows in a batch
    has_values_ = says("\"kind\": \"discrete\"");
  }

  int channels() const { return int(shape_[1]); }
  Size size() const { return {int(shape_[2]), int(shape_[3])}; }
  size_t window_size() const { return size_t(shape_[1] * shape_[2] * shape_[3]); }

  // Whether the file's metadata, JSON as Python's json.dumps writes it, has this piece.
  bool says(const std::string& piece) const { return about_.find(piece) != std::string::npos; }

  // Raises Refused unless frames of this size can be made into the policy's own.
  void check(Size camera) const {
    const auto [height, width] = size();
    const bool is_same = camera.height == height && camera.width == width;
    const std::string stored = "\"stored\": [" + std::to_string(height) + ", " + std::to_string(width) + "]";
    if (!says("\"colour\": \"gray\"") || !says(stored) || !(is_same || says("\"resize\": \"linear\"")))
      throw Refused("this policy wants frames in colour, cropped, or resized by areas: give it windows");
  }

  void act(Bytes& window) {
    static const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    static const char* inputs[] = {"windows"};
    static const char* outputs[] = {"action", "values"};
    auto tensor = Ort::Value::CreateTensor<uint8_t>(memory, window.data(), window.size(), shape_.data(), shape_.size());
    const auto given = session_.Run(Ort::RunOptions{}, inputs, &tensor, 1, outputs, has_values_ ? 2 : 1);
    if (has_values_) std::printf("%lld ", static_cast<long long>(*given[0].GetTensorData<int64_t>()));
    const Ort::Value& numbers = given.back();
    const size_t count = numbers.GetTensorTypeAndShapeInfo().GetElementCount();
    for (size_t i = 0; i < count; ++i)
      std::printf("%.6g%c", numbers.GetTensorData<float>()[i], i + 1 < count ? ' ' : '\n');
    std::fflush(stdout);
  }

 private:
  static Ort::SessionOptions options() {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1).DisableCpuMemArena();
    return options;
  }

  Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR, "act"};
  Ort::Session session_;
  std::string about_;
  std::vector<int64_t> shape_;
  bool has_values_ = false;
};

// Calls `act` for every whole piece of stdin; raises Refused if there is none.
template <typename Act>
void for_each(Bytes& piece, Act act) {
  bool has_one = false;
  for (; std::fread(piece.data(), 1, piece.size(), stdin) == piece.size(); has_one = true) act();
  if (!has_one) throw Refused("the input ends within the first " + std::to_string(piece.size()) + " bytes");
}

void act_on_windows(Policy& policy) {
  Bytes window(policy.window_size());
  for_each(window, [&] { policy.act(window); });
}

void act_on_frames(Policy& policy, Size camera) {
  policy.check(camera);
  const Size size = policy.size();
  Window window(policy.channels(), size_t(size.height) * size.width, policy.says("\"before_first\": \"first\""));
  Bytes frame(size_t(camera.height) * camera.width * 3);
  for_each(frame, [&] { policy.act(window.push(resize(gray(frame), camera, size))); });
}

int main(int count, char** arguments) {
  try {
    const std::string source = count == 3 ? arguments[2] : "";
    Size camera{};
    const bool has_size = std::sscanf(source.c_str(), "%dx%d", &camera.width, &camera.height) == 2;
    if (source != "windows" && !(has_size && camera.width > 0 && camera.height > 0))
      throw Refused("usage: act POLICY WxH|windows < FILE");
    Policy policy(arguments[1]);
    source == "windows" ? act_on_windows(policy) : act_on_frames(policy, camera);
  } catch (const std::exception& error) {  // Refused, and ONNX Runtime's own
    std::fprintf(stderr, "act: %s\n", error.what());
    return 2;
  }
}
