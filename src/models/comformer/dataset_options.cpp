// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/dataset_options.hpp"

namespace gnn_hpc::comformer {

DataOptions DataOptions::parse(Config node) {
  DataOptions o;
  node.paths("path", o.source.paths, "crystals: a CSV with CIF text, an extxyz file, a folder with id_prop.csv, or CIF/POSCAR files");
  node.choice("format", o.source.format, {"auto", "csv", "folder", "extxyz", "cif", "poscar"}, "of data.path; auto: by name");
  node.list("targets", o.source.targets, "names of the quantities to learn");
  node.text("id_column", o.source.id_column, "where a record's id stands; empty: the usual names");
  node.text("cif_column", o.source.cif_column, "CSV column of the CIF text");
  node.choice("non_periodic", o.source.non_periodic, {"refuse", "box"},
              "extxyz frames with an F in pbc or no Lattice; box: a cell with vacuum around them");
  node.text("index", o.source.index, "extxyz: frames to use, as a Python slice (:1000, ::10, -100:)");
  o.parse_split(node, "crystals", o.source.paths);
  node.text("cache_dir", o.cache_dir, "folder of graph caches, shared by runs; several data sets and options side by side");
  node.number("max_bad_fraction", o.max_bad_fraction, unit_interval, "stop if more records than this cannot be used");
  node.number("threads", o.threads, non_negative, "that build graphs; 0: all processors of the rank");
  node.choice("classification", o.classification, {"none", "label", "threshold"},
              "binary classification: labels are 0 and 1, or 1 above classification_threshold");
  node.number("classification_threshold", o.classification_threshold, any_number, "for classification: threshold");
  node.done();
  if (node.is_schema()) return o;
  if (o.source.targets.empty()) node.problem("targets", "name at least one quantity to learn");
  return o;
}

CrystalGraphOptions parse_graph_options(Config node) {
  CrystalGraphOptions o;
  node.number("max_neighbors", o.max_neighbors, at_least_one, "nearest neighbours of an atom; complete shells are kept");
  node.number("cutoff", o.cutoff, positive, "angstrom; search radius only, does not change the graph");
  node.flag("use_lattice", o.use_lattice, "add edges from every atom to its images along the three lattice vectors");
  node.done();
  return o;
}

}  // namespace gnn_hpc::comformer
