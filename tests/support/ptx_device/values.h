/* PTX's arithmetic where it is not C's: bits as numbers, minima that drop NaN, conversions that saturate. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline double as_f64(uint64_t bits) { double v; memcpy(&v, &bits, 8); return v; }
static inline float as_f32(uint32_t bits) { float v; memcpy(&v, &bits, 4); return v; }
static inline uint64_t bits_f64(double v) { uint64_t bits; memcpy(&bits, &v, 8); return bits; }
static inline uint32_t bits_f32(float v) { uint32_t bits; memcpy(&bits, &v, 4); return bits; }

/* Of -0 and 0, -0 is less. */
#define EXTREMES(real, kind)                                                   \
  static inline real min_##kind(real a, real b) {                              \
    if (a != a || b != b) return a != a ? b : a;                               \
    return a == b ? (signbit(a) ? a : b) : a < b ? a : b;                      \
  }                                                                            \
  static inline real max_##kind(real a, real b) {                              \
    if (a != a || b != b) return a != a ? b : a;                               \
    return a == b ? (signbit(a) ? b : a) : a > b ? a : b;                      \
  }
EXTREMES(float, f32)
EXTREMES(double, f64)

static inline float fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float abs_f32(float v) { return fabsf(v); }
static inline double abs_f64(double v) { return fabs(v); }
static inline float neg_f32(float v) { return -v; }
static inline double neg_f64(double v) { return -v; }
static inline float sqrt_rn_f32(float v) { return sqrtf(v); }
static inline double sqrt_rn_f64(double v) { return sqrt(v); }
static inline float rcp_rn_f32(float v) { return 1 / v; }
static inline double rcp_rn_f64(double v) { return 1 / v; }
/* A GPU computes the upper half of the bits only. */
static inline double rcp_approx_ftz_f64(double v) { return as_f64(bits_f64(1 / v) & ~0xffffffffull); }
/* The sign of the first, the size of the second. */
static inline float copysign_f32(float sign, float v) { return copysignf(v, sign); }
static inline double copysign_f64(double sign, double v) { return copysign(v, sign); }

static inline uint32_t popc_b32(uint32_t v) { return __builtin_popcount(v); }
static inline uint32_t popc_b64(uint64_t v) { return __builtin_popcountll(v); }
static inline uint32_t clz_b32(uint32_t v) { return v ? __builtin_clz(v) : 32; }
static inline uint32_t clz_b64(uint64_t v) { return v ? __builtin_clzll(v) : 64; }

static inline uint64_t ones(uint32_t length) { return length >= 64 ? ~0ull : (1ull << length) - 1; }
static inline uint64_t extract(uint64_t v, uint32_t place, uint32_t length) {
  return place >= 64 ? 0 : v >> place & ones(length);
}
static inline uint64_t insert(uint64_t part, uint64_t v, uint32_t place, uint32_t length, uint32_t bits) {
  uint64_t mask = place >= bits ? 0 : ones(length) << place;
  return (v & ~mask) | (place >= bits ? 0 : part << place & mask);
}
/* Each byte of the result is one of b, a, by a digit of the selector, or the sign of that byte. */
static inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = (uint64_t)b << 32 | a;
  uint32_t found = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t digit = selector >> 4 * i & 15, byte = bytes >> 8 * (digit & 7) & 255;
    if (digit & 8) byte = byte & 128 ? 255 : 0;
    found |= byte << 8 * i;
  }
  return found;
}

/* NaN becomes 0 where a float32 becomes at most 32 bits, else the highest bit alone. */
#define TO_INTEGER(integer, kind, least, most, highest)                        \
  static inline integer to_##kind(double v, int is_short) {                    \
    if (v != v) return is_short && sizeof(integer) <= 4 ? 0 : (integer)highest; \
    return v <= (double)least ? least : v >= (double)most ? most : (integer)v; \
  }
TO_INTEGER(int16_t, s16, INT16_MIN, INT16_MAX, 1u << 15)
TO_INTEGER(uint16_t, u16, 0, UINT16_MAX, 1u << 15)
TO_INTEGER(int32_t, s32, INT32_MIN, INT32_MAX, 1u << 31)
TO_INTEGER(uint32_t, u32, 0, UINT32_MAX, 1u << 31)
TO_INTEGER(int64_t, s64, INT64_MIN, INT64_MAX, 1ull << 63)
TO_INTEGER(uint64_t, u64, 0, UINT64_MAX, 1ull << 63)

static inline float from_half(uint16_t bits) { _Float16 v; memcpy(&v, &bits, 2); return (float)v; }
#define TO_HALF(real, kind)                                                    \
  static inline uint16_t kind##_to_half(real v) {                              \
    _Float16 half = (_Float16)v;                                               \
    uint16_t bits;                                                             \
    memcpy(&bits, &half, 2);                                                   \
    return bits;                                                               \
  }
TO_HALF(float, f32)
TO_HALF(double, f64)
