// Raw frames as a policy of `edgerl export` sees them: gray, smaller, stacked. This is what edgerl_run does in Python,
// bit for bit, for policies whose frames are gray and resized by `linear` (OpenCV's INTER_LINEAR).
// Compile with -ffp-contract=off: a fused multiply-add rounds otherwise than OpenCV and NumPy do.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using Bytes = std::vector<uint8_t>;

struct Size {
  int height, width;
};

// RGB24 pixels in gray: 0.299 R + 0.587 G + 0.114 B in fixed point, as OpenCV's COLOR_RGB2GRAY.
inline Bytes gray(const Bytes& rgb) {
  Bytes picture(rgb.size() / 3);
  for (size_t i = 0; i < picture.size(); ++i)
    picture[i] = (9798 * rgb[3 * i] + 19235 * rgb[3 * i + 1] + 3735 * rgb[3 * i + 2] + (1 << 14)) >> 15;
  return picture;
}

// The two pixels that a new one lies between, and their shares in 2^-11.
struct Between {
  int first, second, of_first, of_second;
};

inline std::vector<Between> between(int before, int after, bool is_along_rows) {
  std::vector<Between> places;
  const double scale = 1 / (double(after) / before);  // as OpenCV rounds it
  for (int place = 0; place < after; ++place) {
    const float centre = float((place + 0.5) * scale - 0.5);
    const int first = int(std::floor(centre));
    float share = centre - std::floor(centre);
    if (is_along_rows && (first < 0 || first >= before - 1)) share = 0;  // OpenCV takes all of a border's pixel
    places.push_back({std::clamp(first, 0, before - 1), std::clamp(first + 1, 0, before - 1),
                      int(std::nearbyint((1 - share) * 2048)), int(std::nearbyint(share * 2048))});
  }
  return places;
}

// A gray picture in another size; of each sum the lowest bits are dropped where OpenCV drops them.
inline Bytes resize(const Bytes& picture, Size before, Size after) {
  if (before.height == after.height && before.width == after.width) return picture;
  Bytes small;
  const std::vector<Between> columns = between(before.width, after.width, true);
  for (const Between& rows : between(before.height, after.height, false)) {
    const uint8_t* above = &picture[size_t(rows.first) * before.width];
    const uint8_t* below = &picture[size_t(rows.second) * before.width];
    for (const Between& column : columns) {
      const int upper = (above[column.first] * column.of_first + above[column.second] * column.of_second) >> 4;
      const int lower = (below[column.first] * column.of_first + below[column.second] * column.of_second) >> 4;
      small.push_back((((upper * rows.of_first) >> 16) + ((lower * rows.of_second) >> 16) + 2) >> 2);
    }
  }
  return small;
}

// The last `frames` pictures, newest last. Before an episode's first one stand zeros, or the first one itself.
class Window {
 public:
  Window(int frames, size_t picture_size, bool repeats_first)
      : pixels_(frames * picture_size), repeats_first_(repeats_first) {}

  void reset() { is_first_ = true; }

  Bytes& push(const Bytes& picture) {
    for (size_t end = pixels_.size(); is_first_ && end > 0; end -= picture.size()) {
      if (repeats_first_) std::copy(picture.begin(), picture.end(), pixels_.begin() + (end - picture.size()));
      else std::fill_n(pixels_.begin() + (end - picture.size()), picture.size(), uint8_t(0));
    }
    std::copy(pixels_.begin() + picture.size(), pixels_.end(), pixels_.begin());
    std::copy(picture.begin(), picture.end(), pixels_.end() - picture.size());
    is_first_ = false;
    return pixels_;
  }

 private:
  Bytes pixels_;
  bool repeats_first_, is_first_ = true;
};
