// Constraints and indexes of the Neo4j store; the Community edition has all of these kinds.
// Only ids and keys, sha256 all of them, are indexed: an index takes no value over about 8 kB.
CREATE CONSTRAINT circuitgraph_variant_id IF NOT EXISTS FOR (x:Variant) REQUIRE x.id IS UNIQUE;
CREATE CONSTRAINT circuitgraph_run_id IF NOT EXISTS FOR (x:Run) REQUIRE x.id IS UNIQUE;
CREATE CONSTRAINT circuitgraph_component_id IF NOT EXISTS FOR (x:Component) REQUIRE x.id IS UNIQUE;
CREATE CONSTRAINT circuitgraph_diff_id IF NOT EXISTS FOR (x:Diff) REQUIRE x.id IS UNIQUE;
CREATE CONSTRAINT circuitgraph_scenario_id IF NOT EXISTS FOR (x:Scenario) REQUIRE x.id IS UNIQUE;

// A run or diff wears this label until it is whole; no query of ours sees it before.
CREATE CONSTRAINT circuitgraph_unfinished_run_id IF NOT EXISTS
FOR (x:UnfinishedRun) REQUIRE x.id IS UNIQUE;
CREATE CONSTRAINT circuitgraph_unfinished_diff_id IF NOT EXISTS
FOR (x:UnfinishedDiff) REQUIRE x.id IS UNIQUE;

// Writers take turns by creating the one node with this label, which none of them commits.
CREATE CONSTRAINT circuitgraph_writer_id IF NOT EXISTS FOR (x:Writer) REQUIRE x.id IS UNIQUE;

CREATE CONSTRAINT circuitgraph_measures_key IF NOT EXISTS
FOR ()-[e:MEASURES]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_changed_key IF NOT EXISTS
FOR ()-[e:CHANGED]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_correlates_key IF NOT EXISTS
FOR ()-[e:CORRELATES]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_affects_key IF NOT EXISTS
FOR ()-[e:AFFECTS]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_composes_key IF NOT EXISTS
FOR ()-[e:COMPOSES]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_transfers_key IF NOT EXISTS
FOR ()-[e:TRANSFERS]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_decides_key IF NOT EXISTS
FOR ()-[e:DECIDES]-() REQUIRE e.key IS UNIQUE;
CREATE CONSTRAINT circuitgraph_rewired_key IF NOT EXISTS
FOR ()-[e:REWIRED]-() REQUIRE e.key IS UNIQUE;

CREATE INDEX circuitgraph_correlates_run IF NOT EXISTS FOR ()-[e:CORRELATES]-() ON (e.run);
CREATE INDEX circuitgraph_affects_run IF NOT EXISTS FOR ()-[e:AFFECTS]-() ON (e.run);
CREATE INDEX circuitgraph_composes_run IF NOT EXISTS FOR ()-[e:COMPOSES]-() ON (e.run);
CREATE INDEX circuitgraph_transfers_run IF NOT EXISTS FOR ()-[e:TRANSFERS]-() ON (e.run);
CREATE INDEX circuitgraph_decides_run IF NOT EXISTS FOR ()-[e:DECIDES]-() ON (e.run);
CREATE INDEX circuitgraph_rewired_diff IF NOT EXISTS FOR ()-[e:REWIRED]-() ON (e.diff);
