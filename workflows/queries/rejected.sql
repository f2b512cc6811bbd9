-- Write your query here: `td-pinterest sql rejected` makes the same of it, whatever its columns are.
-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- The keys of people, with the column and the reason of each value that is rejected.
SELECT "customer_id", identifier, reason
FROM (
  SELECT c1 AS "customer_id", CASE WHEN NOT (c0 IS NOT NULL) THEN '' ELSE identifier END AS identifier, CASE
    WHEN NOT (c0 IS NOT NULL) THEN CASE place WHEN 0 THEN ARRAY['null'] END
    ELSE CASE place WHEN 0 THEN ARRAY[a0] END END AS answers
  FROM (
SELECT *, CASE
    WHEN t0 IS NULL THEN NULL
    WHEN from_utf8(to_utf8(t0)) <> t0 THEN 'bad_encoding'
    WHEN t0 = '' THEN 'empty'
    WHEN l0 IN (
      '#n/a', '(null)', '-', '--', '00000000-0000-0000-0000-000000000000', '00000000000000000000000000000000',
      '<null>', '\n', 'email@example.com', 'example@example.com', 'n/a', 'na', 'na@na.com', 'nan', 'nil',
      'noemail@noemail.com', 'none', 'none@none.com', 'null', 'null@null.com', 'test@example.com',
      'test@example.net', 'test@example.org', 'test@test.com', 'undefined', 'undefined@undefined.com', 'unknown',
      'unknown@unknown.com') THEN 'placeholder'
    WHEN regexp_like(t0, '\A[0-9A-Fa-f]{64}\z') THEN CASE
      WHEN substr(l0, 1, 32) IN (
        '00d6da1c1cfdde77cbe43291d1b6daa9', '01ba4719c80b6fe911b091a7c05124b6', '0605915259ef5d5a321559fa1ea86a45',
        '0969f08f8f4a87744362c9214844c83b', '0a481a8dc8a8aa0efbf1ee6f2524dfe7', '0c5b7e938fc360ada31854f2502d5f4e',
        '12b9377cbe7e5c94e8a70d9d23929523', '140bedbf9c3f6d56a9846d2ba7088798', '1cdb2d60e7254ae01b712e9c91f1c6e0',
        '1e1780b6bcb2978c096b2ce228281d62', '1eed248fcc138d33c6c666847b0d9d02', '20ef0f0c8d0eea98772412cea9b3b926',
        '23759997b3c59884dc4c0ff5320d6301', '26ea514d622518d172bf79ce6ff238a5', '28097366df249a05761643dd79025cad',
        '2874d7800fecae20844f682696920b28', '2a539d6520266b56c3b0c525b9e61288', '2c98cc3eb74f620b081de5bf4d4c4c21',
        '30b4a58dea34b8bdc7f61f53c7160246', '3173d5eb4ff86e526f330f6609bd35e1', '31c5543c1734d25c7206f5fd591525d0',
        '3371eaaeb70ad5f09ffe0ba96c47f9ac', '36a9e7f1c95b82ffb99743e0c5c4ce95', '388c735eec8225c4ad7a507944dd0a97',
        '3973e022e93220f9212c18d0d0c543ae', '3d9fc4bde7ceef058d65b00186e79c1f', '4ee8d695e2aa51044562a00940ce916a',
        '59f4ef87b308351c080436babfe03ed7', '5d47146ea29bd98696892e2f9edacdd9', '5da3a4c7f117944275b4c8629c491640',
        '69e69621d904f5d0ebdeaec523b5bcce', '6a699266c344aa19cad935784dd7e4c9', '6dd8ade1d8c3f119168ea603991e749c',
        '70df647ae95586f45716a1224c029741', '74234e98afe7498fb5daf1f36ac2d78a', '7526c6e7e976745abb3aa27c5eb0a100',
        '8290b86681ecf225cb89535a606aa740', '84e0c0eafaa95a34c293f278ac52e45c', '8ab60881072b62721284dd0081f2a14d',
        '9060c2f9826ed059eaf0bc719ed85f23', '92be514e71365b40cf1e1384cac43ae3', '973dfe463ec85785f5f95af5ba3906ee',
        '9b2d5b4678781e53038e91ea5324530a', '9fa201b69cd7f7c132424ffe4803531f', 'a1d0ba9a57bb4555e02f7803d05c78e3',
        'a4789d6518cd718c01aa201a90e21439', 'a5f4af0c6d3124da59c9150843fa3186', 'a683c5c5349f6f7fb903ba8a9e7e55d0',
        'a7f668b3553a265332ed1ba96eb24ed1', 'a80e516bfb196e1c48a9acbe39da8fce', 'aafe35820e3ee46b943f3397ff3fc462',
        'b23a6a8439c0dde5515893e7c90c1e32', 'b460b79e4bfbaefde51fa7d10a935bc6', 'b582d3167c70c098fdfefc2c847a1aae',
        'b764cdc0eab7137467211272fa539f12', 'bc34f262c93ad7122763684ccea6f07f', 'c24a57ebef806ddb09364aab54d467bd',
        'c627c09c14e58e44bc51622dac392958', 'ca871b3caae791a6a4b969195738f187', 'cc797350372efbf86b1831341f133daf',
        'ce4f9c67265203d70b0a188e2af36d89', 'cff5e591ae49c2ac9938c54de1799c5b', 'd54f0ce7ae1a206da65a0d857dc0fd5b',
        'd5b592c05dc25b5032553f1b27f4139b', 'd8156bae0c4243d3742fc4e9774d8ace', 'dc937b59892604f5a86ac96936cd7ff0',
        'e118b5c29cb4b975251601a6cc3209a4', 'e2f79e5b60330bba4c289962231b6ba2', 'e3b0c44298fc1c149afbf4c8996fb924',
        'eb045d78d273107348b0300c01d29b75', 'f02dfb7da82a40b055700e27ce61e0b3', 'f547e86ec41bb7471b38aecf06384c51',
        'f660ab912ec121d1b1e928a0bb4bc61b', 'f6a5342a23d1833e47600add92527425', 'fa1d2db62d4d952e2031452e1bc1ddca',
        'fb329000228cc5a24c264c57139de8bf') THEN 'hash_of_nothing'
      ELSE l0 END
    WHEN regexp_like(t0, '\A([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40})\z') THEN 'unsupported_hash'
    WHEN length(to_hex(to_utf8(l0))) > 508 THEN 'too_long'
    WHEN regexp_like(t0, '[\x{0}-\x{20}\x{2c}\x{7f}-\x{a0}\x{1680}\x{180e}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{2064}\x{2066}-\x{2069}\x{3000}\x{feff}]') THEN 'contains_separator'
    WHEN NOT regexp_like(l0, '\A[^@]+@[^@.]+(\.[^@.]+)+\z') THEN 'not_an_email'
    WHEN regexp_like(t0, '[\x{3a3}\x{2c2f}\x{2c5f}\x{a7c0}\x{a7c1}\x{a7cb}-\x{a7dc}\x{10570}-\x{105bf}\x{10d50}-\x{10d85}]') THEN 'unsure'
    ELSE lower(to_hex(sha256(to_utf8(l0)))) END AS a0
FROM (SELECT *, lower(replace(t0, U&'\0130', U&'i\0307')) AS l0
FROM (SELECT *,
  trim(BOTH U&'\0009\000a\000b\000c\000d\001c\001d\001e\001f \0085\00a0\1680\180e\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\200b\200c\200d\200e\200f\2028\2029\202a\202b\202c\202d\202e\202f\205f\2060\2061\2062\2063\2064\2066\2067\2068\2069\3000\feff' FROM CAST(c0 AS varchar)) AS t0
FROM (
SELECT * FROM (
SELECT email, customer_id FROM people WHERE opted_in
) AS given (c0, c1)
)))
  ) CROSS JOIN (VALUES (0, 'email')) AS columns (place, identifier)
) CROSS JOIN UNNEST(answers) AS answers_of (reason)
WHERE length(reason) < 64
ORDER BY reason, "customer_id"
