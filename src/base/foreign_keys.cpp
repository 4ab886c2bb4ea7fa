// SPDX-License-Identifier: Apache-2.0
#include "base/foreign_keys.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace gnn_hpc {

namespace {

struct Foreign {
  std::string_view names;  ///< separated by blanks
  std::string_view advice;
};

/// Every `block.key` named here exists (a test looks each one up).
constexpr std::array kForeign{
    // what does not exist
    Foreign{"ensemble ensembles ensemble_size num_models n_models",
            "there are no ensembles here; `gnn_hpc replicates` trains one model for every split of the data, with a folder and "
            "predictions each"},
    Foreign{"weights weight weight_column data_weights data_weights_path sample_weight sample_weights class_weight class_weights "
            "class_balance pos_weight "
            "target_weights loss_weights task_weights",
            "samples, classes and targets have no weights here: each present target counts the same"},
    Foreign{"uncertainty uncertainty_method evidential evidential_regularization calibration_method dropout_sampling_size "
            "conformal mve",
            "uncertainties are not predicted here"},
    Foreign{"reaction reaction_mode reaction_columns number_of_molecules multicomponent",
            "one molecule a row: reactions and mixtures are not read here"},
    Foreign{"activation activation_function hidden_activation", "activations are fixed: they are part of the models"},
    Foreign{"atom_messages message_passing mp_kind", "messages run on directed bonds; there is no other kind here"},
    Foreign{"frzn checkpoint_frzn frozen freeze freeze_encoder model_frzn from_foundation pretrained pretrained_model load_from "
            "transfer",
            "weights of another run cannot be loaded to train on; run.restart continues the same run"},
    Foreign{"features_generator features_path molecule_featurizers features_scaling no_features_scaling",
            "further inputs are columns of the table: data.descriptors"},
    Foreign{"explicit_h add_h adding_h keep_h", "explicit hydrogen atoms are joined to their neighbours; there is no option"},
    Foreign{"forces force stress stresswise_weight calculate_gradient gradwise_weight graphwise_weight atomwise_weight "
            "energy_mult_natoms atomwise_output",
            "forces, stresses and values of atoms are not learnt here: only values of a whole crystal, data.targets"},
    Foreign{"alignn_layers gcn_layers conv_layers num_conv edge_layers",
            "the number of layers is fixed: iComFormer has four node layers and an edge layer, eComFormer three and an equivariant one"},
    Foreign{"neighbor_strategy", "graphs hold the nearest neighbours in complete shells: graph.max_neighbors"},
    Foreign{"standard_scalar_and_pca standardize normalize scaler target_scaler no_target_scaling",
            "targets are always scaled by mean and spread of the training part"},
    Foreign{"accumulate_grad_batches gradient_accumulation_steps grad_accum",
            "there is no accumulation: train.batch_size is the number of samples of a step over all ranks"},
    Foreign{"amp fp16 bf16 mixed_precision use_amp dtype", "run.precision is float or double; there is no half precision"},
    Foreign{"compile torch_compile pin_memory save_dataloader use_lmdb persistent_workers",
            "has no meaning here: graphs are built once into data.cache_dir"},
    Foreign{"wandb wandb_log wandb_project tensorboard log_tensorboard logger mlflow",
            "runs are logged to metrics.csv and metrics.jsonl in run.dir only"},
    Foreign{"lora use_lora peft quantization load_in_8bit", "does not exist here: models are trained whole"},
    Foreign{"tokenizer tokenizer_name bpe", "the tokens of a text are its bytes; a text tokenised elsewhere is read from HDF5 (data.path)"},
    // what has another name
    Foreign{"num_folds n_folds num_iters num_replicates",
            "`gnn_hpc replicates INPUT --count N` trains on every split; data.folds is the number of folds"},
    Foreign{"split_type split_method split_sizes splits",
            "data.split and data.group_by say how records are divided (ratios, holdout, kfold, column, file); or name "
            "files: data.train, data.validation, data.test"},
    Foreign{"separate_val_path val_path valid_path dataset_valid", "a file of its own that validates: data.validation"},
    Foreign{"separate_test_path test_path dataset_test", "a file of its own that tests: data.test"},
    Foreign{"dataset dataset_name data_path data_file filename root_dir input_file train_path", "the data are data.path"},
    Foreign{"dataset_type task_type regression classification", "data.task for molecules, data.classification for crystals"},
    Foreign{"smiles_column smiles_columns smiles_col", "the column of the molecules is data.smiles"},
    Foreign{"target target_column target_columns property properties prop label labels label_column", "what is learnt is data.targets"},
    Foreign{"ignore_columns", "columns that are no targets: data.ignore"},
    Foreign{"id_tag id_col name_column", "the column of names is data.id_column"},
    Foreign{"n_train n_val n_test num_train num_val num_test",
            "parts are shares of the data: data.train_ratio, data.validation_ratio, data.test_ratio"},
    Foreign{"val_ratio valid_ratio val_size", "this part is data.validation_ratio"},
    Foreign{"random_seed data_seed pytorch_seed torch_seed seeds", "run.seed is that of weights and batch order, data.split_seed that of the split"},
    Foreign{"output_dir save_dir out_dir log_dir result_dir results_dir model_dir checkpoint_dir", "results go to run.dir"},
    Foreign{"checkpoint_path checkpoint resume resume_from resume_training",
            "run.restart: auto continues from run.dir; `gnn_hpc predict --checkpoint PATH` uses a checkpoint"},
    Foreign{"write_checkpoint save_checkpoint write_predictions save_predictions save_smiles_splits save_preds", "always written, to run.dir"},
    Foreign{"lr learning_rate_max max_lr base_lr", "the peak of the learning rate is train.learning_rate"},
    Foreign{"init_lr", "the first learning rate is train.initial_learning_rate"},
    Foreign{"final_lr min_lr", "the last learning rate is train.final_learning_rate (warmup_exponential) or train.minimum_learning_rate (cosine)"},
    Foreign{"scheduler lr_scheduler lr_schedule", "the course of the learning rate is train.schedule"},
    Foreign{"patience n_early_stopping early_stop early_stopping_patience", "train.early_stopping: epochs without a better validation"},
    Foreign{"grad_clip gradient_clip gradient_clip_val max_grad_norm", "the largest norm of gradients is train.clip_norm"},
    Foreign{"num_epochs n_epochs max_epochs max_iters max_steps", "the length of training is train.epochs"},
    Foreign{"num_workers n_jobs workers", "data.threads build graphs; batches are made by one thread beside the training"},
    Foreign{"gpu gpus devices device accelerator cuda no_cuda", "one rank uses one device: mpiexec -n N, and --kokkos-device-id"},
    Foreign{"distributed data_parallel ddp world_size num_nodes", "start it with mpiexec or srun: each rank takes its share of train.batch_size"},
    Foreign{"metric metrics tracking_metric extra_metrics", "all errors are reported; the validation part decides which epoch is best"},
    Foreign{"loss loss_function loss_fn", "squared error for numbers and cross-entropy for classes; crystals: model.criterion"},
    Foreign{"message_hidden_dim hidden_size d_h", "the width of the model is model.hidden_dim"},
    Foreign{"ffn_hidden_size ffn_hidden_dim", "the width of the predictor is model.ffn_hidden"},
    Foreign{"ffn_num_layers", "hidden layers of the predictor: model.ffn_layers"},
    Foreign{"embedding_features hidden_features atom_fea_len", "the width of the model is model.node_features"},
    Foreign{"output_features output_dim out_dim num_tasks n_tasks", "there are as many outputs as data.targets"},
    Foreign{"block_size context_length seq_len sequence_length max_length", "the longest sequence is model.max_seq_length"},
    Foreign{"n_layer n_layers num_hidden_layers", "the number of layers is model.num_layers"},
    Foreign{"n_head n_heads num_attention_heads", "the number of heads is model.num_heads"},
    Foreign{"n_embd d_model hidden_dimension", "the width of the model is model.embed_dim"},
};

}  // namespace

std::string foreign_key_advice(std::string_view key) {
  std::string wanted;
  for (const char ch : key) wanted += ch == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(ch)));
  if (wanted.empty() || wanted.find(' ') != std::string::npos) return {};
  for (const Foreign& entry : kForeign) {
    std::string_view rest = entry.names;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      if (rest.substr(0, end) == wanted) return std::string(entry.advice);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return {};
}

}  // namespace gnn_hpc
