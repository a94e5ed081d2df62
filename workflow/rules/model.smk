"""From tiles to a trained model; `reuse.smk` takes its place for a model of another run."""


rule select:
    """Choose the tiles for training and test, split by antibody.

    It depends on the list of tables, not on the tables: their number, the number of shards, changes
    no model.
    """
    input:
        images=training_inputs("results/catalog/images.parquet"),
        tables=training_inputs(rules.list_tile_tables.output.list),
        overrides=as_inputs(override_files()),
    output:
        tiles="results/training/tiles.parquet",
        config=TRAINING_CONFIG,
    log:
        "logs/select.log",
    benchmark:
        "logs/benchmarks/select.tsv"
    conda:
        "../../environment.yml"
    params:
        version=STEP_VERSIONS["select"],
        min_tissue_fraction=settings.tiles.cli_args("min_tissue_fraction"),
        labels=literally(labels.cli_args("overrides", "drawn")),
        max_tiles=settings.train.cli_args("max_tiles"),
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        drawings=drawings,
        start_from=literally(settings.train.cli_args("start_from")),
        start_digest=earlier_model,
        training_settings=literally(training_settings(settings)),
        images_digest=digest_with_manifest("results/catalog/images.parquet"),
        tables_digest=digest_with_manifest("results/tiles/tables.txt"),
    message:
        "Selecting tiles"
    shell:
        "cacl select --images {input.images} $(sed '/^#/d; s/^/--tiles /' {input.tables}) "
        "--store {params.store} --out {output.tiles} {params.min_tissue_fraction} {params.labels} "
        "{params.max_tiles} {params.seed} {params.start_from} > {log} 2>&1 && "
        "printf '%s' {params.training_settings:q} > {output.config}"


rule train:
    """Train CaCL from labels of images, and of pixels that the user drew; no mask is read."""
    input:
        tiles="results/training/tiles.parquet",
        images=ancient("results/catalog/images.parquet"),
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
        version=(STEP_VERSIONS["train"], MODEL_VERSION),
        train=settings.train.cli_args("preset", "seeds", "max_steps", "max_minutes"),
        preset=preset_digest(settings.train.preset),
        start_from=literally(settings.train.cli_args("start_from")),
        start_digest=earlier_model,
        labels=literally(labels.cli_args("classes", "drawn")),
        drawings=drawings,
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        out=subpath(output.checkpoint, parent=True),
    message:
        "Training the model"
    shell:
        "cacl train --tiles {input.tiles} --store {params.store} --catalog {input.images} "
        "--out {params.out} {params.train} {params.start_from} {params.labels} {params.seed} "
        "--threads {threads} > {log} 2>&1"
