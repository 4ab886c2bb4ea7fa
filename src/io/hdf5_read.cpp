// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_types.hpp"
#include "io/seal.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

namespace gnn_hpc {

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const auto n : shape) count *= n;
  return count;
}

namespace {

std::string where(const std::string& path, const std::string& name) { return fmt::format("{}: {}", path, name); }

[[noreturn]] void fail(const std::string& path, const std::string& name, const std::string& message) {
  throw Error(Exit::data, fmt::format("HDF5: {}: {}: {}", path, name, message));
}

Shape shape_of(hid_t space) {
  const int rank = H5Sget_simple_extent_ndims(space);
  std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(rank, 0)));
  if (rank > 0) H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  return {dims.begin(), dims.end()};
}

std::string shape_text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// The most bytes of texts that are read at once; a text longer than that is one piece.
constexpr std::size_t kTextPiece = std::size_t{4} << 20;

/// Texts of a dataset or attribute. `read(memory_type, first, count, buffer)` reads some of them; `whole`: all must be read at once. Memory is
/// that of the texts and one piece: a column of a fixed width takes rows times the longest text in the file, and may not take it here.
template <class Read>
std::vector<std::string> read_strings(hid_t file_type, std::size_t count, bool whole, const std::string& what, Read read) {
  std::vector<std::string> out;
  out.reserve(count);
  if (count == 0) return out;
  const H5Type type(H5Tcopy(H5T_C_S1), what);
  H5Tset_cset(type.get(), H5Tget_cset(file_type));
  const bool variable = H5Tis_variable_str(file_type) > 0;
  const std::size_t width = variable ? sizeof(char*) : H5Tget_size(file_type);
  H5Tset_size(type.get(), variable ? H5T_VARIABLE : width);
  if (!variable) H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  const std::size_t piece = whole ? count : std::clamp<std::size_t>(kTextPiece / width / (variable ? 64 : 1), 1, count);
  std::vector<char> buffer(variable ? 0 : piece * width);
  std::vector<char*> pointers(variable ? piece : 0);
  for (std::size_t first = 0; first < count; first += piece) {
    const std::size_t n = std::min(piece, count - first);
    std::fill(pointers.begin(), pointers.end(), nullptr);
    if (read(type.get(), first, n, variable ? static_cast<void*>(pointers.data()) : buffer.data()) < 0) {
      throw Error(Exit::data, fmt::format("HDF5: {}: read failed{}", what, hdf5_reason()));
    }
    if (variable) {
      for (std::size_t i = 0; i < n; ++i) out.emplace_back(pointers[i] == nullptr ? "" : pointers[i]);
      const hsize_t rows = n;
      const H5Space read_space(H5Screate_simple(1, &rows, nullptr), what);
      H5Dvlen_reclaim(type.get(), read_space.get(), H5P_DEFAULT, pointers.data());
      continue;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const char* begin = buffer.data() + i * width;
      out.emplace_back(begin, std::find(begin, begin + width, '\0'));
    }
  }
  return out;
}

/// Booleans of h5py are enumerations over int8: read them as their base type.
H5Type number_type(hid_t file_type, const std::string& what) {
  if (H5Tget_class(file_type) == H5T_ENUM) return {H5Tget_super(file_type), what};
  return {H5Tcopy(file_type), what};
}

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

herr_t collect_dataset(hid_t, const char* name, const H5O_info_t* info, void* out) {
  if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
  return 0;
}

}  // namespace

Hdf5Reader::Hdf5Reader(std::string path, SealCheck check, const std::function<void()>& alive) : path_(std::move(path)) {
  std::error_code trouble;
  if (!std::filesystem::is_regular_file(path_, trouble)) {
    const bool absent = !trouble || trouble == std::errc::no_such_file_or_directory;
    throw Error(Exit::data, absent ? fmt::format("{}: no such file", path_) : fmt::format("{}: cannot be read ({})", path_, trouble.message()));
  }
  if (check != SealCheck::none && check_seal(path_, alive) == SealState::absent && check == SealCheck::required) {
    throw DamagedFile(fmt::format("{}: damaged: no seal at its end (truncated, or not written by gnn_hpc)", path_));
  }
  const Hdf5Lock lock;
  const H5Properties access(H5Pcreate(H5P_FILE_ACCESS), path_);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.get(), false, true);  // files are replaced, never changed; locks fail on some cluster file systems
#endif
  file_ = H5File(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access.get()), path_);
}

bool Hdf5Reader::exists(const std::string& name) const {
  const Hdf5Lock lock;
  for (std::size_t at = name.find_first_not_of('/'); at != std::string::npos;) {
    const std::size_t slash = name.find('/', at);
    if (H5Lexists(file_.get(), name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
    at = slash == std::string::npos ? slash : name.find_first_not_of('/', slash);
  }
  return true;
}

bool Hdf5Reader::is_group(const std::string& name) const {
  if (name == "/") return true;
  if (!exists(name)) return false;
  const Hdf5Lock lock;
  const H5Object object(H5Oopen(file_.get(), name.c_str(), H5P_DEFAULT), where(path_, name));
  return H5Iget_type(object.get()) == H5I_GROUP;
}

std::vector<std::string> Hdf5Reader::list(const std::string& group) const {
  const Hdf5Lock lock;
  const H5Group g(H5Gopen2(file_.get(), group.c_str(), H5P_DEFAULT), where(path_, "group " + group));
  std::vector<std::string> names;
  if (H5Literate(g.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, &collect_name, &names) < 0) fail(path_, group, "cannot list the group");
  return names;
}

std::vector<std::string> Hdf5Reader::datasets(const std::string& group) const {
  const Hdf5Lock lock;
  const H5Group g(H5Gopen2(file_.get(), group.c_str(), H5P_DEFAULT), where(path_, "group " + group));
  std::vector<std::string> names;
#if H5_VERSION_GE(1, 12, 0)
  const herr_t status = H5Ovisit1(g.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &collect_dataset, &names);
#else
  const herr_t status = H5Ovisit(g.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &collect_dataset, &names);
#endif
  if (status < 0) fail(path_, group, "cannot list the group");
  const std::string prefix = group == "/" ? "/" : group + "/";
  for (auto& name : names) name = prefix + name;
  std::sort(names.begin(), names.end());
  return names;
}

namespace {
/// Bytes that a shape claims; "infinite" where they exceed 64 bits. A side of length zero counts as one: rows of nothing are rows to a loop.
std::int64_t claimed_bytes(const Shape& shape, std::size_t element) {
  std::int64_t bytes = static_cast<std::int64_t>(std::max<std::size_t>(1, element));
  for (const auto n : shape) {
    if (n < 0 || __builtin_mul_overflow(bytes, std::max<std::int64_t>(1, n), &bytes)) return std::numeric_limits<std::int64_t>::max();
  }
  return bytes;
}

/// The most that a byte of the file can stand for: deflate makes 1,032 of one; of other filters (constant chunks in scale-offset or zstd)
/// nothing is known, they get a bound that still belongs to the file's size.
constexpr std::int64_t kMostPerByteDeflate = 1100, kMostPerByteOther = 1 << 16;
/// What is believed without a look at the file: a small dataset that was never written has no storage and reads as zeros.
constexpr std::int64_t kFreeClaim = std::int64_t{16} << 20;

/// A file of a few kB may say that it holds 2^40 rows, and whoever trusts it asks for 8 TiB of memory, or writes results until the disk is
/// full. So every dataset is compared, before anything else, with the bytes that the file has for it.
void require_plausible(hid_t file, hid_t dataset, const std::string& path, const std::string& name) {
  const H5Space space(H5Dget_space(dataset), where(path, name));
  const H5Type type(H5Dget_type(dataset), where(path, name));
  const Shape shape = shape_of(space.get());
  const std::int64_t claimed = claimed_bytes(shape, H5Tget_size(type.get()));
  if (claimed <= kFreeClaim) return;
  hsize_t size = 0;
  H5Fget_filesize(file, &size);
  const auto stored = static_cast<std::int64_t>(std::min<hsize_t>(H5Dget_storage_size(dataset), size));
  const H5Properties creation(H5Dget_create_plist(dataset), where(path, name));
  std::int64_t most = 1;
  for (int f = 0; f < H5Pget_nfilters(creation.get()); ++f) {
    unsigned flags = 0, config = 0;
    std::size_t none = 0;
    const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(f), &flags, &none, nullptr, 0, nullptr, &config);
    if (filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32) continue;
    most = std::max(most, filter == H5Z_FILTER_DEFLATE ? kMostPerByteDeflate : kMostPerByteOther);
  }
  if (claimed / most <= stored) return;
  fail(path, name,
       fmt::format("claims shape {} ({}) where the file has {} for it; it is damaged or was never filled, and is not read", shape_text(shape),
                   claimed == std::numeric_limits<std::int64_t>::max() ? "more than 8 EiB" : format_bytes(static_cast<double>(claimed)),
                   format_bytes(static_cast<double>(stored))));
}

H5Dataset open_dataset(hid_t file, const std::string& path, const std::string& name) {
  H5Dataset dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), where(path, "dataset " + name));
  require_plausible(file, dataset.get(), path, name);
  return dataset;
}

/// The same for an attribute, which is never compressed.
std::size_t attribute_count(hid_t file, hid_t attribute, hid_t type, const std::string& path, const std::string& name) {
  const H5Space space(H5Aget_space(attribute), where(path, name));
  const Shape shape = shape_of(space.get());
  hsize_t size = 0;
  H5Fget_filesize(file, &size);
  if (claimed_bytes(shape, H5Tget_size(type)) > static_cast<std::int64_t>(size))
    fail(path, name, fmt::format("claims shape {}, more than the file holds", shape_text(shape)));
  return static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(space.get())));
}
}  // namespace

Shape Hdf5Reader::shape(const std::string& dataset) const {
  const Hdf5Lock lock;
  const H5Dataset d = open_dataset(file_.get(), path_, dataset);
  const H5Space space(H5Dget_space(d.get()), where(path_, dataset));
  return shape_of(space.get());
}

bool Hdf5Reader::is_text(const std::string& dataset) const {
  const Hdf5Lock lock;
  const H5Dataset d = open_dataset(file_.get(), path_, dataset);
  const H5Type type(H5Dget_type(d.get()), where(path_, dataset));
  return H5Tget_class(type.get()) == H5T_STRING;
}

DType Hdf5Reader::dtype(const std::string& dataset) const {
  const Hdf5Lock lock;
  const H5Dataset d = open_dataset(file_.get(), path_, dataset);
  const H5Type stored(H5Dget_type(d.get()), where(path_, dataset));
  const H5Type type = number_type(stored.get(), where(path_, dataset));
  const std::size_t size = H5Tget_size(type.get());
  if (H5Tget_class(type.get()) == H5T_FLOAT && size >= 4) return size == 4 ? DType::f32 : DType::f64;
  if (H5Tget_class(type.get()) == H5T_INTEGER) {
    const bool is_signed = H5Tget_sign(type.get()) == H5T_SGN_2;
    if (size == 1) return is_signed ? DType::i8 : DType::u8;
    if (size == 2) return is_signed ? DType::i16 : DType::u16;
    if (size == 4 && is_signed) return DType::i32;
    if (size == 8 || size == 4) return is_signed ? DType::i64 : DType::u64;
  }
  fail(path_, dataset, "holds no numbers that this program reads");
}

RawExtent Hdf5Reader::extent(const std::string& dataset) const {
  const Hdf5Lock lock;
  const H5Dataset d = open_dataset(file_.get(), path_, dataset);
  const haddr_t offset = H5Dget_offset(d.get());
  if (offset == HADDR_UNDEF) return {};
  return {static_cast<std::int64_t>(offset), static_cast<std::int64_t>(H5Dget_storage_size(d.get()))};
}

namespace {
/// Reads the whole dataset (`first` < 0) or rows of it into memory of `count` elements.
void read_numbers(hid_t file, const std::string& path, const std::string& name, DType type, std::int64_t first, void* out, std::size_t count) {
  const Hdf5Lock lock;
  const H5Dataset d = open_dataset(file, path, name);
  const H5Space space(H5Dget_space(d.get()), where(path, name));
  const Shape shape = shape_of(space.get());
  const H5Type stored(H5Dget_type(d.get()), where(path, name));
  const H5T_class_t kind = H5Tget_class(stored.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT && kind != H5T_ENUM) fail(path, name, "holds no numbers");
  if (first < 0 && static_cast<std::size_t>(element_count(shape)) != count) {
    fail(path, name, fmt::format("shape {} where {} numbers were expected", shape_text(shape), count));
  }
  if (count == 0) return;
  H5Space memory(H5Screate_simple(1, std::vector<hsize_t>{count}.data(), nullptr), where(path, name));
  if (first >= 0) {
    if (shape.empty()) fail(path, name, "is a scalar where rows were expected");
    Shape row(shape.begin() + 1, shape.end());
    const auto width = static_cast<std::size_t>(element_count(row));
    if (width == 0 || count % width != 0 || first + static_cast<std::int64_t>(count / width) > shape[0]) {
      fail(path, name,
           fmt::format("shape {} has no rows {}..{}", shape_text(shape), first, first + static_cast<std::int64_t>(width ? count / width : 0)));
    }
    std::vector<hsize_t> start(shape.size(), 0), size(shape.begin(), shape.end());
    start[0] = static_cast<hsize_t>(first);
    size[0] = count / width;
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
  }
  herr_t status;
  if (kind == H5T_ENUM) {  // no conversion from enumerations: read the base type, then convert in place
    const H5Type base = number_type(stored.get(), where(path, name));
    const std::size_t size = std::max(H5Tget_size(base.get()), size_of(type));
    std::vector<char> buffer(count * size);
    status = H5Dread(d.get(), stored.get(), memory.get(), space.get(), H5P_DEFAULT, buffer.data());
    if (status >= 0) status = H5Tconvert(base.get(), hdf5_native(type), count, buffer.data(), nullptr, H5P_DEFAULT);
    std::memcpy(out, buffer.data(), count * size_of(type));
  } else {
    status = H5Dread(d.get(), hdf5_native(type), memory.get(), space.get(), H5P_DEFAULT, out);
  }
  if (status < 0) fail(path, "dataset " + name, "read failed" + hdf5_reason());
}
}  // namespace

template <class T>
std::vector<T> Hdf5Reader::read(const std::string& dataset) const {
  std::vector<T> out(static_cast<std::size_t>(element_count(shape(dataset))));
  read(dataset, std::span<T>(out));
  return out;
}

template <class T>
void Hdf5Reader::read(const std::string& dataset, std::span<T> out) const {
  read_numbers(file_.get(), path_, dataset, dtype_of<T>(), -1, out.data(), out.size());
}

template <class T>
void Hdf5Reader::read_rows(const std::string& dataset, std::int64_t first, std::span<T> out) const {
  GNN_HPC_REQUIRE(first >= 0, "row {} of {}", first, dataset);
  read_numbers(file_.get(), path_, dataset, dtype_of<T>(), first, out.data(), out.size());
}

template <class T>
T Hdf5Reader::read_scalar(const std::string& dataset) const {
  T value{};
  read(dataset, std::span<T>(&value, 1));
  return value;
}

std::vector<std::string> Hdf5Reader::read_texts(const std::string& dataset) const {
  const Hdf5Lock lock;
  const H5Dataset d = open_dataset(file_.get(), path_, dataset);
  const H5Type type(H5Dget_type(d.get()), where(path_, dataset));
  if (H5Tget_class(type.get()) != H5T_STRING) fail(path_, dataset, "holds no text");
  const H5Space space(H5Dget_space(d.get()), where(path_, dataset));
  const auto count = static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(space.get())));
  const bool whole = H5Sget_simple_extent_ndims(space.get()) != 1;
  return read_strings(type.get(), count, whole, where(path_, dataset), [&](hid_t memory_type, std::size_t first, std::size_t rows, void* out) {
    if (whole) return H5Dread(d.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
    const hsize_t start = first, size = rows;
    const H5Space memory(H5Screate_simple(1, &size, nullptr), where(path_, dataset));
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &size, nullptr);
    return H5Dread(d.get(), memory_type, memory.get(), space.get(), H5P_DEFAULT, out);
  });
}

std::string Hdf5Reader::read_text(const std::string& dataset) const {
  auto texts = read_texts(dataset);
  if (texts.size() != 1) fail(path_, dataset, fmt::format("{} texts where one was expected", texts.size()));
  return std::move(texts.front());
}

namespace {
H5Attribute open_attribute(hid_t file, const std::string& path, const std::string& object, const std::string& name) {
  return {H5Aopen_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where(path, object + "@" + name)};
}
}  // namespace

bool Hdf5Reader::has_attribute(const std::string& object, const std::string& name) const {
  const Hdf5Lock lock;
  return H5Aexists_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> Hdf5Reader::attributes(const std::string& object) const {
  const Hdf5Lock lock;
  const H5Object o(H5Oopen(file_.get(), object.c_str(), H5P_DEFAULT), where(path_, object));
  std::vector<std::string> names;
  if (H5Aiterate2(o.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, &collect_attribute, &names) < 0) fail(path_, object, "cannot list attributes");
  return names;
}

bool Hdf5Reader::attribute_is_text(const std::string& object, const std::string& name) const {
  const Hdf5Lock lock;
  const H5Attribute a = open_attribute(file_.get(), path_, object, name);
  const H5Type type(H5Aget_type(a.get()), where(path_, object + "@" + name));
  return H5Tget_class(type.get()) == H5T_STRING;
}

std::vector<double> Hdf5Reader::attribute_numbers(const std::string& object, const std::string& name) const {
  const Hdf5Lock lock;
  const std::string what = where(path_, object + "@" + name);
  const H5Attribute a = open_attribute(file_.get(), path_, object, name);
  const H5Type stored(H5Aget_type(a.get()), what);
  const H5T_class_t kind = H5Tget_class(stored.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT && kind != H5T_ENUM) fail(path_, object + "@" + name, "holds no numbers");
  const std::size_t count = attribute_count(file_.get(), a.get(), stored.get(), path_, object + "@" + name);
  const H5Type base = number_type(stored.get(), what);
  std::vector<char> buffer(count * std::max(H5Tget_size(base.get()), sizeof(double)));
  if (count > 0 && (H5Aread(a.get(), stored.get(), buffer.data()) < 0 ||
                    H5Tconvert(base.get(), H5T_NATIVE_DOUBLE, count, buffer.data(), nullptr, H5P_DEFAULT) < 0)) {
    fail(path_, object + "@" + name, "read failed" + hdf5_reason());
  }
  std::vector<double> out(count);
  if (count > 0) std::memcpy(out.data(), buffer.data(), count * sizeof(double));
  return out;
}

double Hdf5Reader::attribute_number(const std::string& object, const std::string& name) const {
  const auto values = attribute_numbers(object, name);
  if (values.size() != 1) fail(path_, object + "@" + name, fmt::format("{} numbers where one was expected", values.size()));
  return values.front();
}

std::string Hdf5Reader::attribute_text(const std::string& object, const std::string& name) const {
  const Hdf5Lock lock;
  const std::string what = where(path_, object + "@" + name);
  const H5Attribute a = open_attribute(file_.get(), path_, object, name);
  const H5Type type(H5Aget_type(a.get()), what);
  if (H5Tget_class(type.get()) != H5T_STRING) fail(path_, object + "@" + name, "holds no text");
  const std::size_t count = attribute_count(file_.get(), a.get(), type.get(), path_, object + "@" + name);
  auto texts = read_strings(type.get(), count, true, what,
                            [&](hid_t memory_type, std::size_t, std::size_t, void* out) { return H5Aread(a.get(), memory_type, out); });
  if (texts.size() != 1) fail(path_, object + "@" + name, "holds several texts");
  return std::move(texts.front());
}

#define GNN_HPC_INSTANTIATE(T)                                                                  \
  template std::vector<T> Hdf5Reader::read<T>(const std::string&) const;                        \
  template void Hdf5Reader::read<T>(const std::string&, std::span<T>) const;                    \
  template void Hdf5Reader::read_rows<T>(const std::string&, std::int64_t, std::span<T>) const; \
  template T Hdf5Reader::read_scalar<T>(const std::string&) const;
GNN_HPC_INSTANTIATE(std::uint8_t)
GNN_HPC_INSTANTIATE(std::int8_t)
GNN_HPC_INSTANTIATE(std::uint16_t)
GNN_HPC_INSTANTIATE(std::int16_t)
GNN_HPC_INSTANTIATE(std::int32_t)
GNN_HPC_INSTANTIATE(std::int64_t)
GNN_HPC_INSTANTIATE(std::uint64_t)
GNN_HPC_INSTANTIATE(float)
GNN_HPC_INSTANTIATE(double)
#undef GNN_HPC_INSTANTIATE

}  // namespace gnn_hpc
