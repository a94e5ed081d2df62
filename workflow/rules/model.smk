"""From tiles to a trained model."""


rule tiled:
    """List the tables of tiles; a model does not depend on how many shards they are split into."""
    input:
        per_shard("results/tiles/{shard}.parquet"),
    output:
        "results/tiles/tables.txt",
    log:
        "logs/tiled.log",
    benchmark:
        "logs/benchmarks/tiled.tsv"
    conda:
        "../../environment.yml"
    message:
        "Listing the tables of tiles"
    shell:
        "printf '%s\\n' {input} > {output} 2> {log}"


rule select:
    """Choose the tiles to train and test on, split by antibody."""
    input:
        images=settled("results/catalog/images.parquet"),
        tables=settled(rules.tiled.output),
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
        "cacl select --images {input.images} $(sed 's/^/--tiles /' {input.tables}) "
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
        train=some(settings["train"], "preset", "seeds", "max_steps", "max_minutes"),
        classes=some(labels, "classes"),
        store="results/atlas.zarr",
        out=subpath(output.checkpoint, parent=True),
        seed=settings["seed"],
    message:
        "Training the model"
    shell:
        "cacl train --tiles {input} --store {params.store} --out {params.out} {params.train} "
        "{params.classes} --seed {params.seed} --threads {threads} > {log} 2>&1"
