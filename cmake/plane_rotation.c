/* SPDX-License-Identifier: Apache-2.0 */
/* Complex plane rotations, for a BLAS that leaves them to LAPACK (BLIS does). Kokkos Kernels names them in the file that calls every BLAS
   function, so the program would not link; products do not use them.  x <- c x + s y,  y <- c y - conj(s) x  */
#include <complex.h>

#define PLANE_ROTATION(NAME, REAL, CONJ)                                                                                              \
  void NAME(const int* n, REAL complex* x, const int* incx, REAL complex* y, const int* incy, const REAL* c, const REAL complex* s);   \
  void NAME(const int* n, REAL complex* x, const int* incx, REAL complex* y, const int* incy, const REAL* c, const REAL complex* s) {  \
    long ix = *incx < 0 ? (1L - *n) * *incx : 0, iy = *incy < 0 ? (1L - *n) * *incy : 0;                                              \
    for (int i = 0; i < *n; ++i, ix += *incx, iy += *incy) {                                                                          \
      const REAL complex old = x[ix];                                                                                                 \
      x[ix] = *c * old + *s * y[iy];                                                                                                  \
      y[iy] = *c * y[iy] - CONJ(*s) * old;                                                                                            \
    }                                                                                                                                 \
  }

PLANE_ROTATION(crot_, float, conjf)
PLANE_ROTATION(zrot_, double, conj)
