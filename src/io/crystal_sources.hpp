// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/crystal_source.hpp"

namespace gnn_hpc {

/// The kinds behind CrystalSource::open, each in a file of its own.
std::unique_ptr<CrystalSource> open_csv_source(CrystalSourceOptions options);
std::unique_ptr<CrystalSource> open_extxyz_source(CrystalSourceOptions options);
/// A folder: with `id_prop.csv` (id or file name, `#BLOCK` for another structure of it than the first, then the values) or, for prediction,
/// every structure file in it by name.
std::unique_ptr<CrystalSource> open_folder_source(CrystalSourceOptions options);
/// Structure files by name; ids are file names, `NAME#BLOCK` (extended XYZ: `NAME#FRAME`) where a file holds several structures.
std::unique_ptr<CrystalSource> open_files_source(CrystalSourceOptions options);

/// Kind of structure in a file, by its name: *.cif; *.xyz, *.extxyz; POSCAR*, CONTCAR*, *.vasp, *.poscar (all also .gz).
std::optional<CrystalFormat> structure_format(const std::string& path);

/// File name without folder, .gz and extension: the first part of made-up ids.
std::string file_stem(const std::string& path);

}  // namespace gnn_hpc
