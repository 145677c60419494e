"""What a build will take: time, memory, bytes and money by stage, from rates measured on a machine.

The model is plain. A stage's core-seconds are its units over the rate, and a little for every run; as many processes
work on it as there are cores, partitions, and peaks that fit into memory; meanwhile its bytes pass the network, where
the lake is remote. To the work is added what answers of S3 are waited for. The slower of the two is the stage's time,
and what holds it up is what binds it. Stages that are built at the same time share cores and network. `ais bench
whole` checks it against a run.

What is not planned: `raw_archives`, at whose pace the publisher's server is asked, and whatever else the machines do.
"""
