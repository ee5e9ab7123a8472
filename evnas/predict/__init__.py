"""ImageNet top-1 predicted from what four papers print: the data, the signals, the regression."""
