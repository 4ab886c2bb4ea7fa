// SPDX-License-Identifier: Apache-2.0
#include "io/checksum.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_types.hpp"
#include "io/seal.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace gnn_hpc {

namespace {
/// Columns of texts up to this size are of a fixed width.
constexpr std::size_t kMostPadding = std::size_t{1} << 20;

std::vector<hsize_t> to_hsize(const Shape& shape) { return {shape.begin(), shape.end()}; }

H5Properties make_groups(const std::string& what) {
  H5Properties links(H5Pcreate(H5P_LINK_CREATE), what);
  H5Pset_create_intermediate_group(links.get(), 1);
  H5Pset_char_encoding(links.get(), H5T_CSET_UTF8);
  return links;
}

H5Type text_type(std::size_t width, const std::string& what) {
  H5Type type(H5Tcopy(H5T_C_S1), what);
  H5Tset_size(type.get(), std::max<std::size_t>(1, width));
  H5Tset_strpad(type.get(), width == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}
}  // namespace

Hdf5Writer::Hdf5Writer(std::string path) : target_(std::move(path)) {
  const auto folder = std::filesystem::path(target_.final_path()).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder)) {
    throw Error(Exit::data, fmt::format("{}: no such folder", folder.string()));
  }
  const Hdf5Lock lock;
  const H5Properties access(H5Pcreate(H5P_FILE_ACCESS), target_.path());
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.get(), false, true);
#endif
  file_ = H5File(H5Fcreate(target_.path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), target_.path());
}

Hdf5Writer::~Hdf5Writer() {
  const Hdf5Lock lock;
  // Not committed: the file is going to be removed. When the disk is full HDF5 could not flush what it still holds, and a close that
  // fails leaves the library with a dangling file; giving back the space first lets it succeed.
  if (file_ && ::truncate(target_.path().c_str(), 0) != 0) target_.discard();
  open_.clear();
  file_ = H5File();
}

std::string Hdf5Writer::where(const std::string& name) const { return fmt::format("{}: {}", path(), name); }

void Hdf5Writer::group(const std::string& name) {
  const Hdf5Lock lock;
  if (H5Lexists(file_.get(), name.c_str(), H5P_DEFAULT) > 0) return;
  const H5Properties links = make_groups(where(name));
  const H5Group g(H5Gcreate2(file_.get(), name.c_str(), links.get(), H5P_DEFAULT, H5P_DEFAULT), where("group " + name));
}

H5Dataset Hdf5Writer::create_dataset(const std::string& name, hid_t type, const Shape& shape, Layout layout, std::size_t element_bytes,
                                     bool extendable) {
  const std::string what = where("dataset " + name);
  auto dims = to_hsize(shape);
  auto limit = dims;
  if (extendable) limit[0] = H5S_UNLIMITED;
  const H5Space space(shape.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), limit.data()), what);
  const H5Properties creation(H5Pcreate(H5P_DATASET_CREATE), what);
  if (H5Tis_variable_str(type) <= 0) H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);  // which texts of variable length may not have
  if (extendable || (layout.compress && element_count(shape) > 0)) {
    auto chunk = dims;
    for (auto& n : chunk) n = std::max<hsize_t>(1, n);
    std::size_t row_bytes = element_bytes;
    for (std::size_t d = 1; d < chunk.size(); ++d) row_bytes *= chunk[d];
    hsize_t rows = static_cast<hsize_t>(layout.chunk_rows);
    if (rows == 0) rows = std::max<hsize_t>(1, (std::size_t{256} << 10) / row_bytes);
    chunk[0] = extendable ? rows : std::min(rows, chunk[0]);
    H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data());
    if (layout.compress) {
      H5Pset_shuffle(creation.get());
      H5Pset_deflate(creation.get(), 1);
    }
  } else {
    H5Pset_layout(creation.get(), H5D_CONTIGUOUS);
    H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);  // gives it an address to seal
  }
  const H5Properties links = make_groups(what);
  return {H5Dcreate2(file_.get(), name.c_str(), type, space.get(), links.get(), creation.get(), H5P_DEFAULT), what};
}

void Hdf5Writer::write_raw(const std::string& name, DType type, const void* values, std::int64_t count, const Shape& shape, Layout layout) {
  GNN_HPC_REQUIRE(element_count(shape) == count, "{}: {} values for shape [{}]", name, count, fmt::join(shape, ", "));
  const Hdf5Lock lock;
  if (shape.empty()) layout.compress = false;
  const H5Dataset d = create_dataset(name, hdf5_stored(type), shape, layout, size_of(type), false);
  if (count > 0 && H5Dwrite(d.get(), hdf5_native(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    throw Error(Exit::data, fmt::format("HDF5: {}: write failed{}", where("dataset " + name), hdf5_reason()));
  }
  checksums_[name] = xxh3_128_hex(values, static_cast<std::size_t>(count) * size_of(type));
}

template <class T>
void Hdf5Writer::write(const std::string& dataset, std::span<const T> values, const Shape& shape, Layout layout) {
  write_raw(dataset, dtype_of<T>(), values.data(), static_cast<std::int64_t>(values.size()), shape, layout);
}

void Hdf5Writer::write_text(const std::string& dataset, const std::string& text) {
  const Hdf5Lock lock;
  const H5Type type = text_type(text.size(), where(dataset));
  const H5Dataset d = create_dataset(dataset, type.get(), {}, {}, text.size(), false);
  const std::string padded = text.empty() ? std::string(1, '\0') : text;
  if (H5Dwrite(d.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()) < 0) {
    throw Error(Exit::data, fmt::format("HDF5: {}: write failed{}", where("dataset " + dataset), hdf5_reason()));
  }
  checksums_[dataset] = xxh3_128_hex(padded.data(), padded.size());
}

void Hdf5Writer::write_texts(const std::string& dataset, const std::vector<std::string>& texts) {
  const Hdf5Lock lock;
  std::size_t width = 1, total = 0;
  for (const auto& t : texts) {
    width = std::max(width, t.size());
    total += t.size();
  }
  // One text of 300 kB among 3,000 short ones would make a column of 900 MB, in memory too: such columns have texts of variable length.
  const std::size_t padded_bytes = width * texts.size();
  if (padded_bytes > kMostPadding && padded_bytes > 4 * total) return write_variable_texts(dataset, texts);
  const H5Type type = text_type(width, where(dataset));
  std::vector<char> padded(padded_bytes, '\0');
  for (std::size_t i = 0; i < texts.size(); ++i) std::copy(texts[i].begin(), texts[i].end(), padded.begin() + static_cast<std::ptrdiff_t>(i * width));
  const H5Dataset d = create_dataset(dataset, type.get(), {static_cast<std::int64_t>(texts.size())}, {}, width, false);
  if (!texts.empty() && H5Dwrite(d.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()) < 0) {
    throw Error(Exit::data, fmt::format("HDF5: {}: write failed{}", where("dataset " + dataset), hdf5_reason()));
  }
  checksums_[dataset] = xxh3_128_hex(padded.data(), padded.size());
}

void Hdf5Writer::write_variable_texts(const std::string& dataset, const std::vector<std::string>& texts) {
  const H5Type type = text_type(H5T_VARIABLE, where(dataset));
  std::vector<const char*> pointers;
  pointers.reserve(texts.size());
  Digest digest;
  for (const auto& t : texts) {
    pointers.push_back(t.c_str());
    digest.bytes(t.c_str(), t.size() + 1);
  }
  const H5Dataset d = create_dataset(dataset, type.get(), {static_cast<std::int64_t>(texts.size())}, {}, H5Tget_size(type.get()), false);
  if (H5Dwrite(d.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0) {
    throw Error(Exit::data, fmt::format("HDF5: {}: write failed{}", where("dataset " + dataset), hdf5_reason()));
  }
  checksums_[dataset] = digest.hex();
}

void Hdf5Writer::create(const std::string& dataset, DType type, const Shape& shape) {
  const Hdf5Lock lock;
  open_[dataset] = create_dataset(dataset, hdf5_stored(type), shape, {}, size_of(type), false);
}

void Hdf5Writer::create_extendable(const std::string& dataset, DType type, std::int64_t width, Layout layout) {
  const Hdf5Lock lock;
  const Shape shape = width == 1 ? Shape{0} : Shape{0, width};
  open_[dataset] = create_dataset(dataset, hdf5_stored(type), shape, layout, size_of(type), true);
}

hid_t Hdf5Writer::open_dataset(const std::string& name) {
  const auto found = open_.find(name);
  GNN_HPC_REQUIRE(found != open_.end(), "{}: dataset {} was not created for slabs", path(), name);
  return found->second.get();
}

void Hdf5Writer::write_rows(const std::string& dataset, DType type, std::int64_t first, const void* values, std::int64_t count) {
  if (count == 0) return;
  const Hdf5Lock lock;
  const hid_t d = open_dataset(dataset);
  const std::string what = where("dataset " + dataset);
  const H5Space space(H5Dget_space(d), what);
  std::vector<hsize_t> dims(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  hsize_t width = 1;
  for (std::size_t i = 1; i < dims.size(); ++i) width *= dims[i];
  GNN_HPC_REQUIRE(
      width > 0 && static_cast<hsize_t>(count) % width == 0 && static_cast<hsize_t>(first) + static_cast<hsize_t>(count) / width <= dims[0],
      "{}: {} values from row {} do not fit {} rows of {}", what, count, first, dims[0], width);
  std::vector<hsize_t> start(dims.size(), 0), size = dims;
  start[0] = static_cast<hsize_t>(first);
  size[0] = static_cast<hsize_t>(count) / width;
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
  const auto total = static_cast<hsize_t>(count);
  const H5Space memory(H5Screate_simple(1, &total, nullptr), what);
  if (H5Dwrite(d, hdf5_native(type), memory.get(), space.get(), H5P_DEFAULT, values) < 0) {
    throw Error(Exit::data, fmt::format("HDF5: {}: write failed{}", what, hdf5_reason()));
  }
}

void Hdf5Writer::append_raw(const std::string& dataset, DType type, const void* values, std::int64_t count) {
  if (count == 0) return;
  const Hdf5Lock lock;
  const hid_t d = open_dataset(dataset);
  const std::string what = where("dataset " + dataset);
  std::vector<hsize_t> dims;
  {
    const H5Space space(H5Dget_space(d), what);
    dims.resize(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
    H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  }
  const auto width = dims.size() > 1 ? dims[1] : hsize_t{1};
  const auto first = static_cast<std::int64_t>(dims[0]);
  dims[0] += static_cast<hsize_t>(count) / width;
  if (H5Dset_extent(d, dims.data()) < 0) throw Error(Exit::data, fmt::format("HDF5: {}: cannot grow{}", what, hdf5_reason()));
  write_rows(dataset, type, first, values, count);
}

template <class T>
void Hdf5Writer::write_rows(const std::string& dataset, std::int64_t first, std::span<const T> values) {
  write_rows(dataset, dtype_of<T>(), first, values.data(), static_cast<std::int64_t>(values.size()));
}

template <class T>
void Hdf5Writer::append(const std::string& dataset, std::span<const T> values) {
  append_raw(dataset, dtype_of<T>(), values.data(), static_cast<std::int64_t>(values.size()));
}

namespace {
void write_attribute(hid_t file, const std::string& object, const std::string& name, hid_t stored, hid_t memory, const void* value,
                     const std::string& what) {
  const H5Space space(H5Screate(H5S_SCALAR), what);
  const H5Attribute a(H5Acreate_by_name(file, object.c_str(), name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), what);
  if (H5Awrite(a.get(), memory, value) < 0) throw Error(Exit::data, fmt::format("HDF5: {}: write failed{}", what, hdf5_reason()));
}
}  // namespace

void Hdf5Writer::attribute(const std::string& object, const std::string& name, const std::string& text) {
  const Hdf5Lock lock;
  const std::string what = where(object + "@" + name);
  const H5Type type = text_type(text.size(), what);
  const std::string padded = text.empty() ? std::string(1, '\0') : text;
  write_attribute(file_.get(), object, name, type.get(), type.get(), padded.data(), what);
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, double value) {
  const Hdf5Lock lock;
  write_attribute(file_.get(), object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, where(object + "@" + name));
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, std::int64_t value) {
  const Hdf5Lock lock;
  write_attribute(file_.get(), object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value, where(object + "@" + name));
}

void Hdf5Writer::seal_lazily(const std::string& dataset) { lazy_.push_back(dataset); }

void Hdf5Writer::commit(const std::string& keep_old_as, const std::function<void(const std::string&)>& check) {
  std::vector<SealedRange> ranges;
  {
    const Hdf5Lock lock;
    std::vector<std::string> names, sums, all;
    for (const auto& [name, sum] : checksums_) {
      names.push_back(name);
      sums.push_back(sum);
      all.push_back(name);
    }
    for (const auto& [name, dataset] : open_) all.push_back(name);
    write_texts("/Info/checksums/dataset", names);
    write_texts("/Info/checksums/xxh3_128", sums);
    for (const auto& name : all) {
      const H5Dataset d(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), where("dataset " + name));
      const haddr_t offset = H5Dget_offset(d.get());
      const auto bytes = static_cast<std::int64_t>(H5Dget_storage_size(d.get()));
      if (offset == HADDR_UNDEF || bytes == 0) continue;  // chunked: part of the file's structure
      ranges.push_back({name, static_cast<std::int64_t>(offset), bytes, std::find(lazy_.begin(), lazy_.end(), name) != lazy_.end()});
    }
    for (auto& [name, dataset] : open_) dataset.close(where("dataset " + name));
    open_.clear();
    if (H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) < 0)
      throw Error(Exit::data, fmt::format("HDF5: {}: flush failed, is the disk full?{}", path(), hdf5_reason()));
    file_.close(path());
  }
  append_seal(target_.path(), std::move(ranges), alive_);
  target_.commit(keep_old_as, check);
}

#define GNN_HPC_INSTANTIATE(T)                                                                      \
  template void Hdf5Writer::write<T>(const std::string&, std::span<const T>, const Shape&, Layout); \
  template void Hdf5Writer::write_rows<T>(const std::string&, std::int64_t, std::span<const T>);    \
  template void Hdf5Writer::append<T>(const std::string&, std::span<const T>);
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
