"""From tiles to a trained model."""


rule select:
    """Choose the tiles to train and test on, split by antibody."""
    input:
        images=settled("results/catalog/images.parquet"),
        tiles=settled(per_shard("results/tiles/{shard}.parquet")),
        overrides=labels["overrides"] or [],
    output:
        tiles="results/training/tiles.parquet",
        asked=TRAINED_FOR,
    log:
        "logs/select.log",
    benchmark:
        "logs/benchmarks/select.tsv"
    conda:
        "../../environment.yml"
    params:
        tissue=some(settings["tiles"], "min_tissue_fraction"),
        overrides=some(labels, "overrides"),
        max_tiles=some(settings["train"], "max_tiles"),
        seed=settings["seed"],
        asked=training_settings(settings),
    message:
        "Selecting tiles"
    shell:
        "cacl select --images {input.images} $(printf -- '--tiles %s ' {input.tiles}) "
        "--out {output.tiles} {params.tissue} {params.overrides} {params.max_tiles} "
        "--seed {params.seed} > {log} 2>&1 && printf '%s' {params.asked:q} > {output.asked}"


rule train:
    """Train CaCL from image-wise labels; no mask is read."""
    input:
        "results/training/tiles.parquet",
    output:
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
        curves="results/model/training.csv",
    log:
        "logs/train.log",
    benchmark:
        "logs/benchmarks/train.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        train=some(settings["train"], "preset", "max_steps", "max_minutes"),
        store="results/atlas.zarr",
        out=subpath(output.checkpoint, parent=True),
        seed=settings["seed"],
    message:
        "Training the model"
    shell:
        "cacl train --tiles {input} --store {params.store} --out {params.out} {params.train} "
        "--seed {params.seed} --threads {threads} > {log} 2>&1"
