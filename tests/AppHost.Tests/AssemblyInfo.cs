// Whole systems and database servers: one after the other on a small machine, and the times they keep stay meaningful.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
