package exporter

// StartSampler lets a test run the stage alone, in a process that it kills.
var StartSampler = startSampler
