// Schema of the embedded store (ladybug); properties in the order of store/columns.py.
// Ids and keys are sha256; keys of relationships are checked before they are loaded.
CREATE NODE TABLE IF NOT EXISTS Variant (
  id STRING PRIMARY KEY, name STRING, recipe STRING, base STRING, adapter STRING,
  architecture STRING, layers INT64, heads INT64, kv_heads INT64, parameters INT64,
  fingerprint STRING
);
CREATE NODE TABLE IF NOT EXISTS Run (
  id STRING PRIMARY KEY, name STRING, variant STRING, kind STRING, estimator STRING,
  steps INT64, inputs STRING, granularity STRING, activity STRING, ablation STRING,
  decision STRING, dtype STRING, template STRING,
  n INT64, n_scenarios INT64, n_effective INT64,
  prompts STRING, version STRING, seed INT64, created STRING
);
CREATE NODE TABLE IF NOT EXISTS Component (
  id STRING PRIMARY KEY, name STRING, architecture STRING, kind STRING,
  layer INT64, head INT64
);
CREATE NODE TABLE IF NOT EXISTS Diff (
  id STRING PRIMARY KEY, name STRING, a STRING, b STRING, lens STRING, scope STRING,
  alpha DOUBLE, margin DOUBLE, n_edges INT64, n_testable INT64, n_claims INT64,
  n_effective INT64, evidence STRING, created STRING
);
CREATE NODE TABLE IF NOT EXISTS Scenario (
  id STRING PRIMARY KEY, name STRING, game STRING
);
CREATE REL TABLE IF NOT EXISTS OF (FROM Run TO Variant);
CREATE REL TABLE IF NOT EXISTS COMPARES (FROM Diff TO Run, side STRING);
CREATE REL TABLE IF NOT EXISTS MEASURES (
  FROM Run TO Component, key STRING, mean DOUBLE, sd DOUBLE, `distinct` INT64,
  measure STRING, category STRING, low DOUBLE, high DOUBLE, n INT64
);
CREATE REL TABLE IF NOT EXISTS CHANGED (
  FROM Diff TO Component, key STRING, measure STRING, category STRING,
  value_a DOUBLE, value_b DOUBLE, change DOUBLE,
  low DOUBLE, high DOUBLE, p DOUBLE, q DOUBLE, verdict STRING
);
CREATE REL TABLE IF NOT EXISTS CORRELATES (
  FROM Component TO Component, key STRING, run STRING, variant STRING,
  weight DOUBLE, pooled DOUBLE, low DOUBLE, high DOUBLE, p DOUBLE, q DOUBLE, n INT64
);
CREATE REL TABLE IF NOT EXISTS AFFECTS (
  FROM Component TO Component, key STRING, run STRING, variant STRING, input STRING,
  estimator STRING, weight DOUBLE, screen DOUBLE,
  low DOUBLE, high DOUBLE, p DOUBLE, q DOUBLE, n INT64
);
CREATE REL TABLE IF NOT EXISTS COMPOSES (
  FROM Component TO Component, key STRING, run STRING, variant STRING, input STRING,
  weight DOUBLE
);
CREATE REL TABLE IF NOT EXISTS TRANSFERS (
  FROM Component TO Component, key STRING, run STRING, variant STRING,
  source_variant STRING, effect DOUBLE, flips DOUBLE, n INT64, method STRING
);
CREATE REL TABLE IF NOT EXISTS DECIDES (
  FROM Variant TO Scenario, key STRING, run STRING,
  p DOUBLE, low DOUBLE, high DOUBLE, legal DOUBLE, n INT64
);
CREATE REL TABLE IF NOT EXISTS REWIRED (
  FROM Component TO Component, key STRING, diff STRING, a STRING, b STRING, lens STRING,
  scope STRING, input STRING, weight_a DOUBLE, weight_b DOUBLE, delta DOUBLE,
  low DOUBLE, high DOUBLE, p DOUBLE, q DOUBLE, verdict STRING, mechanism STRING,
  signal DOUBLE, edge DOUBLE, downstream DOUBLE, read DOUBLE, write DOUBLE,
  stability DOUBLE
);
// Columns that graph files made before them lack; where they are there, nothing happens.
ALTER TABLE MEASURES ADD IF NOT EXISTS measure STRING DEFAULT 'activity';
ALTER TABLE MEASURES ADD IF NOT EXISTS category STRING DEFAULT '';
ALTER TABLE MEASURES ADD IF NOT EXISTS low DOUBLE;
ALTER TABLE MEASURES ADD IF NOT EXISTS high DOUBLE;
ALTER TABLE MEASURES ADD IF NOT EXISTS n INT64;
ALTER TABLE TRANSFERS ADD IF NOT EXISTS method STRING DEFAULT 'patch';
