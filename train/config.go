package train

// Config is everything that a pre-training run can be told. Each field is a flag of ibot
// pretrain, a key of recipes and configuration files, and a line of --help and of the docs.
//
// Names and defaults are those of the reference (main_ibot.py of bytedance/ibot), so that a
// published command line carries over. Its data_path and output_dir are aliases of our data and
// out. What it writes into its code as numbers, such as the head's widths and the center's
// momentum, is a setting here with that number as the default.
type Config struct {
	// Run

	Data        string `name:"data" alias:"data_path" group:"Run" arg:"DIR" help:"images to learn from: a folder, with or without class folders, a text or CSV list, a zip or tar archive, WebDataset shards, Parquet, .npy or .npz"`
	ValData     string `name:"val_data" arg:"DIR" help:"labelled images for the k-NN score while training; without it those of DIR/val, or a fifth of DIR looked up in the rest"`
	Out         string `name:"out" alias:"output_dir" arg:"RUN" help:"folder of the run: settings, log, checkpoints, pictures; a run that is there goes on"`
	Recipe      string `name:"recipe" arg:"NAME" help:"settings to start from; ibot recipes lists them"`
	File        string `name:"config" arg:"FILE" help:"YAML file with settings, above those of the recipe and below flags"`
	Device      string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	CUDAGraphs  bool   `name:"cuda_graphs" arg:"BOOL" help:"on a CUDA device, record forward and backward pass as graphs, one for each shape of a batch, which the driver starts at once. Each is held against a plain pass before it is used. Takes memory for a second pass, and has not been tried on a GPU yet"`
	Precision   string `name:"precision" choices:"fp32,bf16,fp16,auto" help:"numbers of the matrix products; weights, head output and loss are fp32 in any case. fp16 is for CUDA, with a scaled loss; auto: what large products are fastest in on this machine"`
	Resume      string `name:"resume" arg:"auto|never|FILE" help:"auto: go on from the latest checkpoint in RUN, if there is one; never: start anew; or the checkpoint to go on from"`
	Steps       int    `name:"steps" range:"[0,)" help:"stop when the run has made N optimizer steps in all, counted from its very start; 0: at the end of all epochs. Schedules are laid over the epochs in any case"`
	Seed        int    `name:"seed" range:"[0,)" help:"seed of all random numbers"`
	Workers     int    `name:"num_workers" range:"[0,256]" help:"workers that decode and augment images; 0: one per CPU. The batches do not depend on it"`
	Truncated   bool   `name:"allow_truncated" arg:"BOOL" help:"take the part that is there of images that were cut off; false: they are bad images"`
	Augment     string `name:"augment" choices:"auto,cpu,device" help:"what crops, jitters and blurs: the workers (cpu), the device, or auto: the device where that is a GPU. The views are the same"`
	Prefetch    int    `name:"prefetch" arg:"BATCHES" range:"[1,64]" help:"batches that are made ready ahead of the step. With it the input holds prefetch + 1 batches and an image a worker in memory, however many images there are"`
	ShardBuffer int    `name:"shard_buffer" arg:"IMAGES" range:"[0,)" help:"go through the large files of a set (tar shards, Parquet, zip) one after the other, in a new order each epoch, and mix so many images that follow one another; 0: mix the whole set. Files are then read nearly from front to back, which disks and Parquet reward"`

	// Memory

	Memory     string `name:"memory" group:"Memory" arg:"SIZE" help:"most memory that a step may need, such as 8GiB: chooses the three settings below so that it fits, the fastest way that does. Without: no limit on the CPU, on a CUDA device its memory"`
	MicroBatch int    `name:"micro_batch" range:"[0,)" help:"images of a batch that go forward and backward at once, one such part after the other; 0: all. The step is the same but for rounding"`
	Recompute  bool   `name:"recompute" arg:"BOOL" help:"keep no activations of the student's blocks, compute them again in the backward pass. The step is the same"`
	HeadChunk  int    `name:"head_chunk" arg:"ROWS" range:"[0,)" help:"tokens whose out_dim outputs exist at a time; 0: all. The step is the same but for rounding"`

	// Backbone

	Arch       string  `name:"arch" group:"Backbone" arg:"NAME" help:"architecture; deit_ in place of vit_ is understood"`
	PatchSize  int     `name:"patch_size" range:"[1,512]" help:"side of a patch in pixels; Swin takes 4"`
	WindowSize int     `name:"window_size" range:"[1,512]" help:"side of an attention window in patches (Swin)"`
	ImgSize    int     `name:"img_size" range:"[1,8192]" help:"side of global crops in pixels"`
	LocalSize  int     `name:"local_size" range:"[1,8192]" help:"side of local crops in pixels"`
	InChans    int     `name:"in_chans" range:"[1,64]" help:"channels of an image"`
	EmbedDim   int     `name:"embed_dim" range:"[0,65536]" help:"width in place of the architecture's, for Swin that of the first stage; 0: its own"`
	Depth      int     `name:"depth" range:"[0,1024]" help:"number of blocks in place of the architecture's (ViT); 0: its own"`
	NumHeads   int     `name:"num_heads" range:"[0,1024]" help:"attention heads in place of the architecture's, for Swin those of the first stage; 0: its own"`
	DropPath   float64 `name:"drop_path" range:"[0,1)" help:"share of residual branches that the student's last block drops; earlier blocks drop fewer"`
	InitStd    float64 `name:"init_std" range:"[0,1]" help:"standard deviation of the initial weights of linear layers; 0: 1/sqrt(inputs), with which narrow networks learn sooner"`
	InitValues float64 `name:"init_values" alias:"layer_scale" range:"[0,)" help:"initial LayerScale; 0: none"`

	Depths []float64 `name:"depths" arg:"N ..." range:"[1,1024]" empty:"true" help:"blocks of each stage in place of the architecture's (Swin), such as 2 2 6 2; without: its own"`

	// Head

	OutDim            int    `name:"out_dim" group:"Head" range:"[2,4194304]" help:"outputs for [CLS]"`
	PatchOutDim       int    `name:"patch_out_dim" range:"[2,4194304]" help:"outputs for patches; a shared last layer has out_dim"`
	SharedHead        bool   `name:"shared_head" arg:"BOOL" help:"one last layer of the student for [CLS] and patches. Published recipes set it"`
	SharedHeadTeacher bool   `name:"shared_head_teacher" arg:"BOOL" help:"the same for the teacher"`
	NormLastLayer     bool   `name:"norm_last_layer" arg:"BOOL" help:"keep the norms of the last layer's rows at 1: stabler, and weaker for ViT-S"`
	NormInHead        string `name:"norm_in_head" choices:"none,bn,syncbn,csyncbn,psyncbn,ln" help:"normalisation between the layers of the MLP"`
	ActInHead         string `name:"act_in_head" choices:"gelu,relu" help:"activation between the layers of the MLP"`
	HeadLayers        int    `name:"head_nlayers" range:"[1,16]" help:"layers of the MLP"`
	HiddenDim         int    `name:"hidden_dim" range:"[1,4194304]" help:"width of the MLP's hidden layers"`
	BottleneckDim     int    `name:"bottleneck_dim" range:"[0,4194304]" help:"width of the l2-normalised bottleneck; 0: none, the MLP gives the outputs"`

	// Masks

	UseMaskedIM    bool      `name:"use_masked_im_modeling" group:"Masks" arg:"BOOL" help:"mask patches of global crops; false leaves DINO"`
	PredRatio      []float64 `name:"pred_ratio" arg:"R ..." range:"[0,1]" help:"share of patches to mask; of several, each crop draws one"`
	PredRatioVar   []float64 `name:"pred_ratio_var" arg:"V ..." range:"[0,1]" help:"a crop's share is drawn from R-V to R+V; as many as pred_ratio has, or one for all"`
	PredShape      string    `name:"pred_shape" choices:"block,rand" help:"rectangles, or single patches anywhere"`
	PredStartEpoch int       `name:"pred_start_epoch" range:"[0,)" help:"epoch from which patches are masked"`

	// Loss

	Lambda1                 float64 `name:"lambda1" group:"Loss" range:"[0,)" help:"weight of the [CLS] loss across views; 0 leaves masked image modelling alone"`
	Lambda2                 float64 `name:"lambda2" range:"[0,)" help:"weight of the loss on masked patches"`
	StudentTemp             float64 `name:"student_temp" range:"(0,)" help:"temperature of the student"`
	WarmupTeacherTemp       float64 `name:"warmup_teacher_temp" range:"(0,)" help:"the teacher's temperature for [CLS] at the start"`
	TeacherTemp             float64 `name:"teacher_temp" range:"(0,)" help:"and after its warm-up; above 0.07 is unstable"`
	WarmupTeacherPatchTemp  float64 `name:"warmup_teacher_patch_temp" range:"(0,)" help:"the teacher's temperature for patches at the start"`
	TeacherPatchTemp        float64 `name:"teacher_patch_temp" range:"(0,)" help:"and after its warm-up"`
	WarmupTeacherTempEpochs int     `name:"warmup_teacher_temp_epochs" range:"[0,)" help:"epochs of both warm-ups; cut short where the run is shorter"`
	MomentumTeacher         float64 `name:"momentum_teacher" range:"[0,1]" help:"share of itself that the teacher keeps a step; rises to 1 along a cosine. For batches of 256: 0.9995"`
	CenterMomentum          float64 `name:"center_momentum" range:"[0,1]" help:"share of itself that the [CLS] center keeps a step"`
	CenterMomentum2         float64 `name:"center_momentum2" range:"[0,1]" help:"the same for the patch center"`
	HardTargets             bool    `name:"hard_targets" arg:"BOOL" help:"the teacher's likeliest output as the target in place of its distribution (an ablation)"`

	// Multi-crop

	GlobalCropsNumber int        `name:"global_crops_number" group:"Multi-crop" range:"[1,64]" help:"crops that teacher and student see"`
	GlobalCropsScale  [2]float64 `name:"global_crops_scale" range:"(0,1]" help:"share of the image's area that they cover"`
	LocalCropsNumber  int        `name:"local_crops_number" range:"[0,256]" help:"small crops that only the student sees"`
	LocalCropsScale   [2]float64 `name:"local_crops_scale" range:"(0,1]" help:"share of the image's area that they cover"`
	Mean              []float64  `name:"mean" arg:"M ..." empty:"true" help:"mean of each channel, for values from 0 to 1; without: ImageNet's for three channels, else 0.5. ibot data stats measures it"`
	Std               []float64  `name:"std" arg:"S ..." empty:"true" help:"the same for the standard deviation; without: ImageNet's, else 0.25"`
	ColorJitter       []float64  `name:"color_jitter" arg:"B C S H" range:"[0,1]" help:"greatest change of brightness, contrast, saturation and hue (hue: at most 0.5)"`
	BlurRadius        [2]float64 `name:"blur_radius" range:"[0,)" help:"standard deviation of the blur in pixels. The published one is for 224 pixels; on small images it takes away all that is small"`

	// Optimization

	Epochs          int     `name:"epochs" group:"Optimization" range:"[1,)" help:"passes over the images"`
	BatchSize       int     `name:"batch_size_per_gpu" alias:"batch_size" range:"[1,)" help:"images a step on each device"`
	Optimizer       string  `name:"optimizer" choices:"adamw,sgd,lars" help:"update rule"`
	LR              float64 `name:"lr" range:"[0,)" help:"learning rate after warm-up, for 256 images a step; scaled to the batch of all devices"`
	MinLR           float64 `name:"min_lr" range:"[0,)" help:"learning rate at the end, not scaled"`
	WarmupEpochs    int     `name:"warmup_epochs" range:"[0,)" help:"epochs of linear warm-up; cut short where the run is shorter"`
	WeightDecay     float64 `name:"weight_decay" range:"[0,)" help:"weight decay at the start"`
	WeightDecayEnd  float64 `name:"weight_decay_end" range:"[0,)" help:"and at the end, along a cosine"`
	ClipGrad        float64 `name:"clip_grad" range:"[0,)" help:"longest gradient of any one parameter; 0: no clipping"`
	FreezeLastLayer int     `name:"freeze_last_layer" range:"[0,)" help:"epochs in which the last layer stays as it is"`
	UseFP16         bool    `name:"use_fp16" arg:"BOOL" help:"taken for the sake of published command lines, and without effect: precision decides"`

	// Records

	SaveCkptFreq int    `name:"saveckp_freq" group:"Records" arg:"EPOCHS" range:"[0,)" help:"keep a checkpoint every so many epochs beside the latest and the best; 0: keep none"`
	CkptEvery    int    `name:"ckpt_every" arg:"STEPS" range:"[0,)" help:"write the latest checkpoint every so many steps; 0: at the ends of epochs"`
	LoadFrom     string `name:"load_from" arg:"FILE" help:"the reference's way to resume: a checkpoint, relative to RUN"`
	LogEvery     int    `name:"log_every" arg:"STEPS" range:"[1,)" help:"write metrics every so many steps"`
	ReportEvery  int    `name:"report_every" arg:"EPOCHS" range:"[0,)" help:"write report.html every so many epochs, and at the end; 0: never"`
	KNNEvery     int    `name:"knn_every" arg:"EPOCHS" range:"[0,)" help:"k-NN score every so many epochs where there are labels; 0: never"`
	KNNImages    int    `name:"knn_images" range:"[1,)" help:"labelled images that are looked up at most, and looked up in; evenly from all classes"`
	KNNK         int    `name:"knn_k" range:"[1,)" help:"neighbours that vote"`
}

// Default returns the reference's defaults, and for settings of our own those that change
// nothing about its method.
func Default() Config {
	return Config{
		Device:    "auto",
		Precision: "fp32",
		Resume:    "auto",
		Augment:   "auto",
		Prefetch:  2,

		Arch:       "vit_small",
		PatchSize:  16,
		WindowSize: 7,
		ImgSize:    224,
		LocalSize:  96,
		InChans:    3,
		DropPath:   0.1,
		InitStd:    0.02,

		OutDim:            8192,
		PatchOutDim:       8192,
		SharedHead:        false,
		SharedHeadTeacher: true,
		NormLastLayer:     true,
		NormInHead:        "none",
		ActInHead:         "gelu",
		HeadLayers:        3,
		HiddenDim:         2048,
		BottleneckDim:     256,

		UseMaskedIM:  true,
		PredRatio:    []float64{0.3},
		PredRatioVar: []float64{0},
		PredShape:    "block",

		Lambda1:                 1,
		Lambda2:                 1,
		StudentTemp:             0.1,
		WarmupTeacherTemp:       0.04,
		TeacherTemp:             0.04,
		WarmupTeacherPatchTemp:  0.04,
		TeacherPatchTemp:        0.07,
		WarmupTeacherTempEpochs: 30,
		MomentumTeacher:         0.996,
		CenterMomentum:          0.9,
		CenterMomentum2:         0.9,

		GlobalCropsNumber: 2,
		GlobalCropsScale:  [2]float64{0.14, 1},
		LocalCropsNumber:  0,
		LocalCropsScale:   [2]float64{0.05, 0.4},
		ColorJitter:       []float64{0.4, 0.4, 0.2, 0.1},
		BlurRadius:        [2]float64{0.1, 2},

		Epochs:          100,
		BatchSize:       128,
		Optimizer:       "adamw",
		LR:              5e-4,
		MinLR:           1e-6,
		WarmupEpochs:    10,
		WeightDecay:     0.04,
		WeightDecayEnd:  0.4,
		ClipGrad:        3,
		FreezeLastLayer: 1,
		UseFP16:         true,

		SaveCkptFreq: 40,
		LogEvery:     10,
		ReportEvery:  10,
		KNNEvery:     1,
		KNNImages:    2000,
		KNNK:         20,
	}
}
