// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/atomic_file.hpp"
#include "io/dtype.hpp"
#include "io/hdf5_handle.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Row-major sizes; empty for a scalar.
using Shape = std::vector<std::int64_t>;
std::int64_t element_count(const Shape& shape);

/// Where the raw bytes of a contiguous dataset lie in the file; offset -1 if it is chunked or empty.
struct RawExtent {
  std::int64_t offset = -1, bytes = 0;
};

/// What `Hdf5Reader` does with the seal that `Hdf5Writer::commit` appends (see io/seal.hpp).
enum class SealCheck {
  none,       ///< foreign files
  if_sealed,  ///< verify where there is one; a file without a seal is accepted
  required,   ///< a missing seal means a truncated or foreign file: Error
};

/// A file open for reading. A dataset that claims more than the file can hold (16 MiB are free; beyond, what its bytes can be the
/// compressed form of) is refused by whatever touches it first, its shape included: nothing is allocated for it. Every member throws
/// Error(Exit::data) that names file and dataset. Thread-safe (one lock for the whole process, see Hdf5Lock). Numbers are converted to the type asked
/// for, as HDF5 does it.
class Hdf5Reader {
 public:
  /// With a seal every byte is verified before HDF5 sees the file, except the datasets sealed as `lazy`, whose blocks their
  /// owner verifies when first read. `alive`: of `check_seal`.
  explicit Hdf5Reader(std::string path, SealCheck check = SealCheck::none, const std::function<void()>& alive = {});

  const std::string& path() const noexcept { return path_; }
  bool exists(const std::string& name) const;  ///< any object; intermediate groups may be missing
  bool is_group(const std::string& name) const;
  std::vector<std::string> list(const std::string& group = "/") const;  ///< names of the children, sorted
  /// Full paths of all datasets below a group, sorted, e.g. "/params/fc.0.weight".
  std::vector<std::string> datasets(const std::string& group = "/") const;

  Shape shape(const std::string& dataset) const;
  bool is_text(const std::string& dataset) const;
  /// The stored type; throws if it is not one of DType (of any byte order).
  DType dtype(const std::string& dataset) const;
  RawExtent extent(const std::string& dataset) const;

  template <class T>
  std::vector<T> read(const std::string& dataset) const;  ///< all elements, row-major
  template <class T>
  void read(const std::string& dataset, std::span<T> out) const;  ///< size must fit
  /// Rows first .. first + out.size() / row size of a dataset of rank >= 1.
  template <class T>
  void read_rows(const std::string& dataset, std::int64_t first, std::span<T> out) const;
  template <class T>
  T read_scalar(const std::string& dataset) const;
  std::string read_text(const std::string& dataset) const;                ///< one string, fixed or variable length
  std::vector<std::string> read_texts(const std::string& dataset) const;  ///< [n] strings

  bool has_attribute(const std::string& object, const std::string& name) const;
  std::vector<std::string> attributes(const std::string& object) const;
  /// Any number or boolean.
  double attribute_number(const std::string& object, const std::string& name) const;
  std::vector<double> attribute_numbers(const std::string& object, const std::string& name) const;
  std::string attribute_text(const std::string& object, const std::string& name) const;
  bool attribute_is_text(const std::string& object, const std::string& name) const;

 private:
  std::string path_;
  H5File file_;
};

/// How a dataset is laid out. Contiguous uncompressed data can be read in place; compression pays for text and for
/// repetitive integers (measured: docs/graph_cache.md).
struct Layout {
  bool compress = false;        ///< shuffle + gzip 1, in chunks; stock h5py reads it
  std::int64_t chunk_rows = 0;  ///< 0: about 256 KiB a chunk
};

/// A file being written beside its final name. Nothing is visible under `path` before `commit`; a crash or an exception leaves
/// the old file. Groups on the way are created. Names of groups, data sets and attributes are paths of this program's own choice:
/// names that come from data (columns, classes, ids) go into text data sets. Every whole dataset's XXH3-128 goes to `/Info/checksums`.
class Hdf5Writer {
 public:
  explicit Hdf5Writer(std::string path);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  const std::string& path() const noexcept { return target_.final_path(); }
  const std::string& temporary_path() const noexcept { return target_.path(); }

  void group(const std::string& name);
  template <class T>
  void write(const std::string& dataset, std::span<const T> values, const Shape& shape, Layout layout = {});
  template <class T>
  void write(const std::string& dataset, const std::vector<T>& values, Layout layout = {}) {
    write<T>(dataset, std::span<const T>(values), Shape{static_cast<std::int64_t>(values.size())}, layout);
  }
  template <class T>
  void write_scalar(const std::string& dataset, T value) {
    write<T>(dataset, std::span<const T>(&value, 1), Shape{});
  }
  void write_text(const std::string& dataset, const std::string& text);  ///< scalar, UTF-8
  /// [n], UTF-8: of fixed width, or of variable length where the padding would be most of more than 1 MiB. Readers see no difference; the
  /// checksum is that of the padded texts, or of the texts with a zero byte after each. Memory: at most four times the texts.
  void write_texts(const std::string& dataset, const std::vector<std::string>& texts);

  /// A dataset of known shape, written in slabs of rows by `write_rows`; contiguous, space reserved at once.
  void create(const std::string& dataset, DType type, const Shape& shape);
  template <class T>
  void write_rows(const std::string& dataset, std::int64_t first, std::span<const T> values);
  /// The same with the element type known at run time only.
  void write_rows(const std::string& dataset, DType type, std::int64_t first, const void* values, std::int64_t count);
  /// A dataset [0, width] that grows by `append`.
  void create_extendable(const std::string& dataset, DType type, std::int64_t width, Layout layout = {});
  template <class T>
  void append(const std::string& dataset, std::span<const T> values);

  /// Attributes of a group or dataset that exists.
  void attribute(const std::string& object, const std::string& name, const std::string& text);
  void attribute(const std::string& object, const std::string& name, double value);
  void attribute(const std::string& object, const std::string& name, std::int64_t value);

  /// Marks a contiguous dataset whose owner verifies it block by block: the seal leaves its bytes out.
  void seal_lazily(const std::string& dataset);

  /// Called for every MiB while `commit` seals (see `append_seal`); if it throws, the old file stands.
  void while_sealing(std::function<void()> alive) { alive_ = std::move(alive); }

  /// Writes `/Info/checksums`, closes (a full disk is reported here), appends the seal, syncs, renames. The writer is then done.
  /// The parameters are those of AtomicFile::commit; `check` sees the sealed file.
  void commit(const std::string& keep_old_as = {}, const std::function<void(const std::string&)>& check = {});

 private:
  hid_t open_dataset(const std::string& name);
  H5Dataset create_dataset(const std::string& name, hid_t type, const Shape& shape, Layout layout, std::size_t element_bytes, bool extendable);
  void write_variable_texts(const std::string& dataset, const std::vector<std::string>& texts);
  void write_raw(const std::string& dataset, DType type, const void* values, std::int64_t count, const Shape& shape, Layout layout);
  void append_raw(const std::string& dataset, DType type, const void* values, std::int64_t count);
  std::string where(const std::string& name) const;

  AtomicFile target_;
  H5File file_;
  std::map<std::string, H5Dataset> open_;         ///< slab-written datasets stay open
  std::map<std::string, std::string> checksums_;  ///< dataset -> XXH3-128
  std::vector<std::string> lazy_;
  std::function<void()> alive_;
};

}  // namespace gnn_hpc
