from experiments.published import DATASETS, TABLE_3_1


def test_table_3_1_is_complete():
    pair = ("unet", "sharp_unet")
    assert set(TABLE_3_1) == {(name, model) for name in DATASETS for model in pair}


def test_sharp_unet_is_printed_better_everywhere():
    for dataset in DATASETS:
        plain, sharp = (TABLE_3_1[dataset, model] for model in ("unet", "sharp_unet"))
        assert sharp.jaccard.mean > plain.jaccard.mean
        assert sharp.dice.mean > plain.dice.mean
