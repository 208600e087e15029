"""Step 3: score a trained run on one split of prepared arrays.

    python evaluate.py                                   # the newest run, validation images
    python evaluate.py --run isic18_cpu --split test
    python evaluate.py --run isic18_cpu --split test --no_tta --no_clean    # the bare network, whatever the run says
    python evaluate.py --run isic18_cpu --split test --threshold best       # the best threshold on validation
    python evaluate.py --run attributes_cpu --split test --threshold challenge      # of attributes: best for their sum
    python evaluate.py --run isic18_cpu --data dataset_ph2 --split test     # on another prepared folder
    python evaluate.py --run isic18_adstnet --split test --part head        # the map of AdSTNet's head, for once
    python evaluate.py --run FILE.onnx --split test      # an export (export.py), named RUN_onnx, by its own runtime
    python evaluate.py --runs unet,as_net --split test   # an ensemble: the mean of their probabilities
    python evaluate.py --compare unet as_net unet+as_net # a comparison of scored runs, with paired intervals
    python evaluate.py --compare as_net/test as_net/test_no_tta # or of a run's evaluations
    python evaluate.py --list                            # all evaluations of all runs, and means over seeds
    python evaluate.py --masks DIR --truth DIR --task 1 --run theirs        # mask files of any tool

Reads `checkpoint_best/RUN/model.keras` and `settings.yaml`, and the arrays of the run's data folder. Each evaluation
has a folder of its own, output/RUN/EVALUATION, named by its split and by what differs from the run's own settings: val,
test, test_no_tta, test_best, test_dataset_ph2 … (evaluation/evaluations.py); the same command again replaces it. Writes

    output/RUN/report.html       all evaluations of the run in one table, with links to their reports
    output/RUN/EVALUATION/
        report.html              everything in one page, to be read in a browser; report.md, the same in Markdown
        performances.txt         the scores as text
        metrics.json             the scores for programs (undefined scores are null)
        per_image.csv            counts and scores of each image and class
        thresholds.csv           scores over thresholds
        classes.csv              where there are several: a row a class, their mean, all together
        annotators.csv           where masks are of several annotators: their agreement, and the network's with them
        *.png                    ROC, Precision_recall, scores; sample_results: the best, median and worst image
        worst/                   the 20 worst images
    predictions/RUN/EVALUATION/<id>_segmentation.png     masks, 0 and 255

and beside the run its scores and, from validation images, its best thresholds for masks that are made so (--tta,
--clean), in run.json and the model card. What the head of AdSTNet gives, --part head, is scored under the name RUN_head
and not kept with the run; nor is anything where training wrote another network in the meantime. `--compare` takes the
newest evaluation that all runs have, of --split if one is given; or RUN/EVALUATION.

Scoring is done at the size of the true mask files: probabilities are resized bilinearly, then thresholded and cleaned.
`--at network` does it at the size of the prepared arrays, which needs no original files. The validation images of an
ensemble of folds are all that its members were trained on: each is scored out of fold, by the member that was not
trained on it, so that scores and thresholds are those of unseen images. There are two kinds of scores.
`pooled`: all pixels of all images counted together, as AS-Net reports. `per_image`: each image scored by itself, then
the mean, as the ISIC challenge ranks; thresholded Jaccard is 0 for an image whose Jaccard is below 0.65. Where a mask
is empty the challenge's rule holds: sensitivity 1 without positives, specificity 1 without negatives, Jaccard and Dice
1 where truth and prediction are both empty. Intervals of 95 % come from the bootstrap, 10,000 resamples of the images.
A split without masks is predicted, not scored. Which scores there are says the table SCORES of metrics.py.

Of several classes each is scored, and then

    class_mean   the macro scores: means over the classes of their pooled scores; dice and jaccard of the masks, and
                 soft_dice and soft_jaccard of the probabilities, without a threshold
    challenge    of the five attributes: counts as fractions of their image's pixels, summed, as ISIC 2018 Task 2 ranks
    presence     whether the class is in the image at all, by the image's largest probability: area under the ROC curve

Means of images say little there: a rare class that is never predicted scores 1 on all images without it. Thresholds are
therefore chosen by the Jaccard of pixel fractions: --threshold best takes each class's own highest, good for the macro
scores, --threshold challenge those with the highest Jaccard of all classes together, as the challenge ranks.

Images go by in batches and leave behind counts and a histogram, so memory does not grow with their number. What
scoring takes beyond the network's own time is measured by benchmarks/evaluate.py.
"""

import argparse
from pathlib import Path

import runs
from datasets.isic2018 import CLASSES
from inference import arguments
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.lazy import lazily
from utils.startup import start_tensorflow

with lazily():  # after the command line has been read
    from evaluation import compare, evaluate_run, evaluations, mask_files, score_split, write_results


def evaluate_masks(masks: Path, truth: Path, task: int, run: str, boundary: bool = False) -> dict:
    """Score mask files of any tool into output/RUN/masks/; returns the contents of metrics.json."""
    pairs = mask_files.find_pairs(masks, truth, task)
    classes = CLASSES[task]
    options = score_split.Options([0.5] * len(classes), boundary=boundary)
    scored = mask_files.score(pairs, options)
    head = {"run": run, "data": str(masks), "split": None, "images": len(pairs), "size": None, "at": "source"}
    head |= {"threshold": None, "tta": False, "clean": False, "variant": options.variant}
    result, table = write_results.contents(head, scored, options, classes)

    def sample(number):
        _, found, true = pairs[number]
        return None, mask_files.read(true), mask_files.read(found)

    output = evaluations.OUTPUT / run / evaluations.MASK_FILES
    write_results.clear(output)
    evaluation = write_results.Evaluation(result, scored, table, [pair[0] for pair in pairs], classes)
    text = write_results.write(output, evaluation, {}, sample)
    evaluations.write_overview(run)
    print(f"report      {output}/report.html, report.md\nscores      {output}/performances.txt, metrics.json, *.csv\n")
    print(text, end="")
    return write_results.without_nan(result)


def _evaluation(name):
    """RUN or RUN/EVALUATION as it is, and the name of a run that is given by its path."""
    return name if (evaluations.OUTPUT / name).is_dir() else runs.name_of(name)


def parser():
    parser = argparse.ArgumentParser(description="Score a trained run on one split of prepared arrays.")
    which = parser.add_mutually_exclusive_group()
    arguments.add_run(which)
    which.add_argument("--runs", metavar="A,B,…", help="several runs: the mean of their probabilities is scored")
    parser.add_argument("--split", help="train, val (default) or test; of --compare those that are compared")
    parser.add_argument("--data", help="folder of prepared arrays (default: the run's)")
    parser.add_argument("--at", choices=("source", "network"), default="source", help="the size that is scored")
    arguments.add_masks(parser)
    parts = ("backbone", "head")
    text = "whose map, where a network was trained with a head (AdSTNet)"
    parser.add_argument("--part", choices=parts, default="backbone", help=text)
    older = {"dest": "part", "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}  # the older name of --part
    parser.add_argument("--output", choices=parts, **older)
    parser.add_argument("--boundary", action="store_true", help="also measure boundary distances")
    parser.add_argument("--compare", nargs="+", metavar="RUN", help="compare scored runs, with paired intervals")
    parser.add_argument("--list", action="store_true", help="show the evaluations of all runs in one table")
    parser.add_argument("--masks", type=Path, help="folder of mask files to score, with --truth, --task and --run")
    parser.add_argument("--truth", type=Path, help="folder of true mask files")
    parser.add_argument("--task", type=int, choices=(1, 2), default=1, help="1 lesion (default), 2 five attributes")
    return parser


@errors.in_one_line()
def main(argv=None):
    given = parser().parse_args(snake_case(argv))
    if given.compare:
        print(compare.compare([_evaluation(name) for name in given.compare], given.split), end="")
    elif given.list:
        print(evaluations.overview(), end="")
    elif given.masks or given.truth:
        if not (given.masks and given.truth and given.run):
            raise UserError("mask files need all of --masks DIR, --truth DIR and --run NAME")
        start_tensorflow()
        evaluate_masks(given.masks, given.truth, given.task, given.run, given.boundary)
    else:
        start_tensorflow()
        given.split = given.split or "val"
        names = ("run", "split", "data", "threshold", "batch_size", "tta", "clean", "at", "boundary", "part")
        ensemble = given.runs.split(",") if given.runs else ()
        evaluate_run.evaluate(ensemble=ensemble, **{name: getattr(given, name) for name in names})


if __name__ == "__main__":
    main()
