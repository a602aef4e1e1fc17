// The inner loops of winograd.cc for one instruction set and type of numbers: no guard, included
// once for each.
//
// The including namespace defines DFL_TF_TARGET, Number, Vec (kLanes floats), and what acts on
// them. kDepth numbers are packed into a lane, and MultiplyAdd adds the products of all of them;
// kRows and kOuterRows fit the registers. Every number of the result is one chain of fused
// multiply-adds in a fixed order, so that threads do not change it.
//
// Layouts, with f = 4 i + j one of the 16 points of a transformed tile:
//   left factors   [f][group of channels][tile][kLanes]
//   right factors  [panel of kPanel channels][f][step][kPanel]
// Steps run over what is summed up: input channels, or tiles for the kernel's gradient. Lane k of
// a left factor of channels holds the channels k, kLanes + k, ... of its group. All that is missing
// is 0.

constexpr int kPanel = 2 * kLanes;
constexpr int kGroup = kLanes * kDepth;

DFL_TF_TARGET DFL_TF_INLINE Vec LoadFirst(const Number* p, int64_t count) {
  return count >= kLanes ? LoadNumbers(p) : count > 0 ? LoadPart(p, count) : Vec{};
}

// Four values of a column through the transform of inputs, B'.
DFL_TF_TARGET DFL_TF_INLINE void InputPoints(Vec a, Vec b, Vec c, Vec d, Vec* out, int step) {
  out[0] = a - c;
  out[step] = b + c;
  out[2 * step] = c - b;
  out[3 * step] = b - d;
}

// The points B' d B of a 4x4 window of kLanes channels; `left` of them exist.
DFL_TF_TARGET DFL_TF_INLINE void TransformWindow(const Number* const* pixels, int64_t channel,
                                                 int64_t left, Vec* d) {
  if (left >= kLanes) {
    for (int f = 0; f < 16; ++f) d[f] = LoadNumbers(pixels[f] + channel);
  } else {
    for (int f = 0; f < 16; ++f) d[f] = LoadFirst(pixels[f] + channel, left);
  }
  for (int j = 0; j < 4; ++j) InputPoints(d[j], d[4 + j], d[8 + j], d[12 + j], d + j, 4);
  for (int i = 0; i < 4; ++i) {
    Vec* row = d + 4 * i;
    InputPoints(row[0], row[1], row[2], row[3], row, 1);
  }
}

// Pointers to the 16 pixels around tile `number`; outside of the image lie zeros.
DFL_TF_INLINE void FindWindow(const Image<Number>& image, int64_t number, const Number* zeros,
                              const Number** pixels) {
  const Tile tile = image.tile(number);
  for (int p = 0; p < 16; ++p) {
    const int64_t y = 2 * tile.row - 1 + p / 4, x = 2 * tile.column - 1 + p % 4;
    pixels[p] = image.has(y, x) ? image.pixel(tile, y, x) : zeros;
  }
}

// Left factors of `count` tiles from `first` on, to be summed over channels.
DFL_TF_TARGET void TransformInput(const Image<Number>& image, int64_t first, int64_t count,
                                  const Number* zeros, float* factors) {
  const int64_t groups = Groups(image.channels, kGroup);
  for (int64_t t = 0; t < count; ++t) {
    const Number* pixels[16];
    FindWindow(image, first + t, zeros, pixels);
    for (int64_t group = 0; group < groups; ++group) {
      Vec points[kDepth][16];
      for (int part = 0; part < kDepth; ++part) {
        const int64_t channel = group * kGroup + part * kLanes;
        TransformWindow(pixels, channel, image.channels - channel, points[part]);
      }
      float* to = factors + (group * count + t) * kLanes;
      for (int f = 0; f < 16; ++f) {
        Vec parts[kDepth];
        for (int part = 0; part < kDepth; ++part) parts[part] = points[part][f];
        Store(to + f * groups * count * kLanes, Pack(parts));
      }
    }
  }
}

// Left factors of the tiles of the steps begin ... end out of `steps`, to be summed over tiles.
DFL_TF_TARGET void TransformInputAcross(const Image<Number>& image, int64_t first, int64_t count,
                                        int64_t begin, int64_t end, const Number* zeros,
                                        float* factors) {
  const int64_t groups = Groups(image.channels, kLanes), steps = Groups(count, kDepth);
  for (int64_t step = begin; step < end; ++step) {
    const Number* pixels[kDepth][16];
    for (int part = 0; part < kDepth; ++part) {
      const int64_t t = step * kDepth + part;
      if (t < count) {
        FindWindow(image, first + t, zeros, pixels[part]);
      } else {
        std::fill_n(pixels[part], 16, zeros);
      }
    }
    for (int64_t group = 0; group < groups; ++group) {
      Vec points[kDepth][16];
      for (int part = 0; part < kDepth; ++part) {
        const int64_t channel = group * kLanes;
        TransformWindow(pixels[part], channel, image.channels - channel, points[part]);
      }
      float* to = factors + (group * steps + step) * kLanes;
      for (int f = 0; f < 16; ++f) {
        Vec parts[kDepth];
        for (int part = 0; part < kDepth; ++part) parts[part] = points[part][f];
        Store(to + f * groups * steps * kLanes, Pack(parts));
      }
    }
  }
}

// The points A y A' of 2x2 pixels of an upstream gradient.
DFL_TF_TARGET DFL_TF_INLINE void TransformPixels(const Vec* s, Vec* points) {
  Vec rows[8];
  for (int j = 0; j < 2; ++j) {
    rows[j] = s[j];
    rows[2 + j] = s[j] + s[2 + j];
    rows[4 + j] = s[j] - s[2 + j];
    rows[6 + j] = -s[2 + j];
  }
  for (int i = 0; i < 4; ++i) {
    const Vec a = rows[2 * i], b = rows[2 * i + 1];
    Vec* row = points + 4 * i;
    row[0] = a;
    row[1] = a + b;
    row[2] = a - b;
    row[3] = -b;
  }
}

// Right factors of one panel of an upstream gradient's tiles, to be summed over tiles; adds it to
// the panel's `sums`.
DFL_TF_TARGET void TransformUpstream(const Image<Number>& image, int64_t panel, int64_t first,
                                     int64_t count, const Number* zeros, float* factors,
                                     float* sums) {
  const int64_t steps = Groups(count, kDepth);
  float chain[kPanel] = {};
  for (int64_t step = 0; step < steps; ++step) {
    const Number* pixels[kDepth][4];
    for (int part = 0; part < kDepth; ++part) {
      const int64_t t = step * kDepth + part;
      const Tile tile = image.tile(first + std::min(t, count - 1));
      for (int p = 0; p < 4; ++p) {
        const int64_t y = 2 * tile.row + p / 2, x = 2 * tile.column + p % 2;
        pixels[part][p] = t < count && image.has(y, x) ? image.pixel(tile, y, x) : zeros;
      }
    }
    for (int half = 0; half < 2; ++half) {
      const int64_t channel = panel * kPanel + half * kLanes;
      Vec points[kDepth][16];
      float* sum = chain + half * kLanes;
      for (int part = 0; part < kDepth; ++part) {
        Vec s[4];
        for (int p = 0; p < 4; ++p) {
          s[p] = LoadFirst(pixels[part][p] + channel, image.channels - channel);
        }
        Store(sum, Load(sum) + ((s[0] + s[1]) + (s[2] + s[3])));
        TransformPixels(s, points[part]);
      }
      float* to = factors + step * kPanel + half * kLanes;
      for (int f = 0; f < 16; ++f) {
        Vec parts[kDepth];
        for (int part = 0; part < kDepth; ++part) parts[part] = points[part][f];
        Store(to + f * steps * kPanel, Pack(parts));
      }
    }
    if ((step + 1) % kChain == 0 || step + 1 == steps) {
      for (int n = 0; n < kPanel; ++n) {
        sums[n] += chain[n];
        chain[n] = 0;
      }
    }
  }
}

// G applied to three taps.
DFL_TF_TARGET DFL_TF_INLINE void KernelPoints(Vec a, Vec b, Vec c, Vec* out, int step) {
  const Vec half = Broadcast(&kHalf);
  const Vec even = (a + c) * half, odd = b * half;
  out[0] = a;
  out[step] = even + odd;
  out[2 * step] = even - odd;
  out[3 * step] = c;
}

// The points G g G' of the 3x3 taps of kLanes output channels.
DFL_TF_TARGET DFL_TF_INLINE void TransformTaps(const float* taps, int64_t stride, Vec* points) {
  Vec g[9], rows[12];
  for (int tap = 0; tap < 9; ++tap) g[tap] = Load(taps + tap * stride);
  for (int j = 0; j < 3; ++j) KernelPoints(g[j], g[3 + j], g[6 + j], rows + j, 3);
  for (int i = 0; i < 4; ++i) {
    KernelPoints(rows[3 * i], rows[3 * i + 1], rows[3 * i + 2], points + 4 * i, 1);
  }
}

// Copies the taps of a group of input and a panel of output channels, taps[9][kGroup][kPanel].
DFL_TF_TARGET DFL_TF_INLINE void CollectTaps(const Kernel& kernel, int64_t base, int64_t panel,
                                             float* taps) {
  const int64_t inputs = kernel.inputs(), outputs = kernel.outputs(), channel = panel * kPanel;
  const int64_t deep = std::min<int64_t>(kGroup, inputs - base);
  const int64_t wide = std::min<int64_t>(kPanel, outputs - channel);
  if (deep < kGroup || wide < kPanel) std::fill_n(taps, 9 * kGroup * kPanel, 0.0f);
  for (int tap = 0; tap < 9; ++tap, taps += kGroup * kPanel) {
    if (kernel.towards_input) {  // the kernel turned by half a turn, its channels exchanged
      const float* from = kernel.data + ((8 - tap) * outputs + channel) * inputs + base;
      for (int64_t n = 0; n < wide; ++n, from += inputs) {
        for (int64_t k = 0; k < deep; ++k) taps[k * kPanel + n] = from[k];
      }
    } else {
      const float* from = kernel.data + (tap * inputs + base) * outputs + channel;
      for (int64_t k = 0; k < deep; ++k, from += outputs) {
        for (int64_t n = 0; n < wide; ++n) taps[k * kPanel + n] = from[n];
      }
    }
  }
}

// Right factors of one panel of a kernel.
DFL_TF_TARGET void TransformKernel(const Kernel& kernel, int64_t panel, float* factors) {
  const int64_t steps = Groups(kernel.inputs(), kGroup) * kLanes;
  alignas(64) float taps[9 * kGroup * kPanel];
  for (int64_t base = 0; base < kernel.inputs(); base += kGroup) {
    CollectTaps(kernel, base, panel, taps);
    for (int64_t lane = 0; lane < kPanel * kLanes; lane += kLanes) {  // of [kLanes][kPanel]
      Vec points[kDepth][16];
      for (int part = 0; part < kDepth; ++part) {
        TransformTaps(taps + part * kLanes * kPanel + lane, kGroup * kPanel, points[part]);
      }
      float* to = factors + base / kDepth * kPanel + lane;
      for (int f = 0; f < 16; ++f) {
        Vec parts[kDepth];
        for (int part = 0; part < kDepth; ++part) parts[part] = points[part][f];
        Store(to + f * steps * kPanel, Pack(parts));
      }
    }
  }
}

// result[r][.] = sum over k of left[k / kLanes][r][k % kLanes] * right[k][.], for R tiles.
template <int R>
DFL_TF_TARGET void MultiplyTiles(const float* left, int64_t group_stride, int64_t groups,
                                 const float* right, float* result) {
  Vec sums[R][2] = {};
  for (int64_t group = 0; group < groups; ++group) {
    const float* column = left + group * group_stride;
    for (int k = 0; k < kLanes; ++k, right += kPanel) {
      const Vec b0 = Load(right), b1 = Load(right + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const Vec a = Broadcast(column + r * kLanes + k);
        sums[r][0] = MultiplyAdd(a, b0, sums[r][0]);
        sums[r][1] = MultiplyAdd(a, b1, sums[r][1]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    Store(result + r * kPanel, sums[r][0]);
    Store(result + r * kPanel + kLanes, sums[r][1]);
  }
}

// The same for at most R tiles.
template <int R>
DFL_TF_TARGET void MultiplyRest(int64_t rows, const float* left, int64_t group_stride,
                                int64_t groups, const float* right, float* result) {
  if constexpr (R > 0) {
    if (rows == R) {
      MultiplyTiles<R>(left, group_stride, groups, right, result);
    } else {
      MultiplyRest<R - 1>(rows, left, group_stride, groups, right, result);
    }
  }
}

// The 2x2 pixels A' m A of a tile, for kLanes channels.
DFL_TF_TARGET DFL_TF_INLINE void PixelsOfPoints(const float* points, int64_t stride, Vec* pixels) {
  Vec rows[8];
  for (int j = 0; j < 4; ++j) {
    const Vec a = Load(points + j * stride), b = Load(points + (4 + j) * stride),
              c = Load(points + (8 + j) * stride), d = Load(points + (12 + j) * stride);
    rows[j] = a + b + c;
    rows[4 + j] = b - c - d;
  }
  for (int i = 0; i < 2; ++i) {
    const Vec* row = rows + 4 * i;
    pixels[2 * i] = row[0] + row[1] + row[2];
    pixels[2 * i + 1] = row[1] - row[2] - row[3];
  }
}

DFL_TF_TARGET DFL_TF_INLINE void StoreFirst(Number* p, int64_t count, Vec values) {
  if (count >= kLanes) {
    StoreNumbers(p, values);
  } else if (count > 0) {
    StorePart(p, count, values);
  }
}

// All of the convolution for `count` tiles from `first` on.
DFL_TF_TARGET void ConvolveTiles(const Image<Number>& from, const Image<Number>& to, Number* result,
                                 const float* kernel_factors, const float* bias, int64_t first,
                                 int64_t count, const Number* zeros, float* scratch) {
  const int64_t groups = Groups(from.channels, kGroup);
  float* left = scratch;
  float* products = scratch + 16 * groups * count * kLanes;
  TransformInput(from, first, count, zeros, left);
  for (int64_t panel = 0; panel < Groups(to.channels, kPanel); ++panel) {
    for (int f = 0; f < 16; ++f) {
      const float* a = left + f * groups * count * kLanes;
      const float* b = kernel_factors + (panel * 16 + f) * groups * kLanes * kPanel;
      float* c = products + f * count * kPanel;
      int64_t t = 0;
      for (; t + kRows <= count; t += kRows) {
        MultiplyTiles<kRows>(a + t * kLanes, count * kLanes, groups, b, c + t * kPanel);
      }
      MultiplyRest<kRows - 1>(count - t, a + t * kLanes, count * kLanes, groups, b, c + t * kPanel);
    }
    for (int64_t t = 0; t < count; ++t) {
      const Tile tile = to.tile(first + t);
      for (int half = 0; half < 2; ++half) {
        const int64_t channel = panel * kPanel + half * kLanes;
        const int64_t left_over = to.channels - channel;
        const Vec shift = Load(bias + channel);
        Vec pixels[4];
        PixelsOfPoints(products + t * kPanel + half * kLanes, count * kPanel, pixels);
        for (int p = 0; p < 4; ++p) {
          const int64_t y = 2 * tile.row + p / 2, x = 2 * tile.column + p % 2;
          if (!to.has(y, x)) continue;
          StoreFirst(result + to.offset(tile, y, x) + channel, left_over, pixels[p] + shift);
        }
      }
    }
  }
}

// result[r][.] (+)= sum over t of left[t][r] * right[t][.], for R channels.
template <int R>
DFL_TF_TARGET DFL_TF_INLINE void MultiplyChannels(const float* left, const float* right,
                                                  int64_t steps, bool add, float* result) {
  Vec sums[R][2] = {};
  for (int64_t t = 0; t < steps; ++t, left += kLanes, right += kPanel) {
    const Vec b0 = Load(right), b1 = Load(right + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec a = Broadcast(left + r);
      sums[r][0] = MultiplyAdd(a, b0, sums[r][0]);
      sums[r][1] = MultiplyAdd(a, b1, sums[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    for (int half = 0; half < 2; ++half) {
      float* to = result + r * kPanel + half * kLanes;
      Store(to, add ? Load(to) + sums[r][half] : sums[r][half]);
    }
  }
}

// G' applied to four points.
DFL_TF_TARGET DFL_TF_INLINE void TapsOfPoints(Vec a, Vec b, Vec c, Vec d, Vec* out, int step) {
  const Vec half = Broadcast(&kHalf);
  const Vec even = (b + c) * half, odd = (b - c) * half;
  out[0] = a + even;
  out[step] = odd;
  out[2 * step] = even + d;
}

// Adds to the kernel's gradient (floats) what `steps` give for one panel and one group of inputs.
DFL_TF_TARGET void AddFilterGradient(const float* left, const float* right, int64_t groups,
                                     int64_t group, int64_t panel, int64_t steps, bool add,
                                     int64_t inputs, int64_t outputs, float* gradient) {
  alignas(64) float points[16][kLanes][kPanel];
  for (int f = 0; f < 16; ++f) {
    const float* a = left + (f * groups + group) * steps * kLanes;
    const float* b = right + f * steps * kPanel;
    for (int64_t step = 0; step < steps; step += kChain) {
      const int64_t some = std::min<int64_t>(kChain, steps - step);
      for (int r = 0; r < kLanes; r += kOuterRows) {
        MultiplyChannels<kOuterRows>(a + step * kLanes + r, b + step * kPanel, some, step > 0,
                                     points[f][r]);
      }
    }
  }
  const int64_t deep = std::min<int64_t>(kLanes, inputs - group * kLanes);
  for (int64_t r = 0; r < deep; ++r) {
    for (int half = 0; half < 2; ++half) {
      const int64_t channel = panel * kPanel + half * kLanes;
      Vec rows[12], taps[9];
      for (int j = 0; j < 4; ++j) {
        Vec column[4];
        for (int i = 0; i < 4; ++i) column[i] = Load(points[4 * i + j][r] + half * kLanes);
        TapsOfPoints(column[0], column[1], column[2], column[3], rows + j, 4);
      }
      for (int i = 0; i < 3; ++i) {
        const Vec* row = rows + 4 * i;
        TapsOfPoints(row[0], row[1], row[2], row[3], taps + 3 * i, 1);
      }
      float* to = gradient + (group * kLanes + r) * outputs + channel;
      for (int tap = 0; tap < 9; ++tap, to += inputs * outputs) {
        alignas(64) float sums[kLanes];
        Store(sums, taps[tap]);
        const int64_t wide = std::min<int64_t>(kLanes, outputs - channel);
        for (int64_t n = 0; n < wide; ++n) to[n] = add ? to[n] + sums[n] : sums[n];
      }
    }
  }
}

constexpr Kernels<Number> kKernels = {kLanes,
                                      kDepth,
                                      TransformKernel,
                                      ConvolveTiles,
                                      TransformInputAcross,
                                      TransformUpstream,
                                      AddFilterGradient};
