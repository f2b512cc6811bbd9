-- In place of people.sql: no plain identifier leaves the warehouse. A rejected value becomes NULL, which the
-- operator counts; rejected.sql has the reasons. For a column maid or idfa, write its name for every `email` outside
-- of the conditions.
-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
SELECT CASE WHEN length(answer) = 64 THEN answer END AS email FROM (
SELECT type, value, CASE
    WHEN value IS NULL THEN 'null'
    WHEN text = '' THEN 'empty'
    WHEN lowered IN (
      '#n/a', '(null)', '-', '--', '00000000-0000-0000-0000-000000000000', '00000000000000000000000000000000',
      '<null>', '\n', 'email@example.com', 'example@example.com', 'n/a', 'na', 'na@na.com', 'nan', 'nil',
      'noemail@noemail.com', 'none', 'none@none.com', 'null', 'null@null.com', 'test@example.com',
      'test@example.net', 'test@example.org', 'test@test.com', 'undefined', 'undefined@undefined.com', 'unknown',
      'unknown@unknown.com') THEN 'placeholder'
    WHEN regexp_like(text, '\A[0-9A-Fa-f]{64}\z') THEN CASE
      WHEN lowered IN (
        '00d6da1c1cfdde77cbe43291d1b6daa9d81f0ae6f036f1bb5735739291cac80d',
        '01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b',
        '0605915259ef5d5a321559fa1ea86a4574a39c9e2640945e5a1b7ddb6d58614f',
        '0969f08f8f4a87744362c9214844c83bde8eadbd9295e52f8a05b324a63d5f00',
        '0a481a8dc8a8aa0efbf1ee6f2524dfe7c8b5b93369a2f98b4a671da8901e127b',
        '0c5b7e938fc360ada31854f2502d5f4e2397527463cf0c9f8afca0e65dafb4a3',
        '12b9377cbe7e5c94e8a70d9d23929523d14afa954793130f8a3959c7b849aca8',
        '140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe',
        '1cdb2d60e7254ae01b712e9c91f1c6e00ba728c43f620db8eb66a70d618f6132',
        '1e1780b6bcb2978c096b2ce228281d626e60b7a9ac137c7159108c28918dd0a8',
        '1eed248fcc138d33c6c666847b0d9d02ad8e656d97747a47ea6ea16e35f54660',
        '20ef0f0c8d0eea98772412cea9b3b92612e3e53cb5e59152b5703165f56e8a53',
        '23759997b3c59884dc4c0ff5320d6301b0e7f63bf0f6483a7b54d7d43bc5ccd1',
        '26ea514d622518d172bf79ce6ff238a5d103bfbf714a28f4e3d8362fe9acd05c',
        '28097366df249a05761643dd79025cad322b8580fda3c6ed8cc5540c7270fe61',
        '2874d7800fecae20844f682696920b2853453cd32c47e1362a776203d0229b14',
        '2a539d6520266b56c3b0c525b9e6128858baeccb5ee9b694a2906e123c8d6dd3',
        '2c98cc3eb74f620b081de5bf4d4c4c21a61cd890b0712a9a63cbc58b9e416b5a',
        '30b4a58dea34b8bdc7f61f53c71602469a7ed62ba7442704cee57f60de0e93be',
        '3173d5eb4ff86e526f330f6609bd35e1ba41ff0f892e66d5c4d55c29edacf6ee',
        '31c5543c1734d25c7206f5fd591525d0295bec6fe84ff82f946a34fe970a1e66',
        '3371eaaeb70ad5f09ffe0ba96c47f9ac0352619d5257012cfcb7fcb0e5ece63e',
        '36a9e7f1c95b82ffb99743e0c5c4ce95d83c9a430aac59f84ef3cbfab6145068',
        '388c735eec8225c4ad7a507944dd0a975296baea383198aa87177f29af2c6f69',
        '3973e022e93220f9212c18d0d0c543ae7c309e46640da93a4a0314de999f5112',
        '3d9fc4bde7ceef058d65b00186e79c1f14b42687b491644c303065135b644e18',
        '4ee8d695e2aa51044562a00940ce916ab41d2f678d9b530a94386afbe817bd53',
        '59f4ef87b308351c080436babfe03ed7e002f753908a1e1d1f0a672cc832e80c',
        '5d47146ea29bd98696892e2f9edacdd9c880adb8ff5be4ec7645320050717884',
        '5da3a4c7f117944275b4c8629c4916403625d5a4a6573a01ecb03f0e9d2edbe6',
        '69e69621d904f5d0ebdeaec523b5bcce258ad7aaf64e8734cbef8be36f963d54',
        '6a699266c344aa19cad935784dd7e4c904db86c3ecdcdeaad1779c542a2591ea',
        '6dd8ade1d8c3f119168ea603991e749c15ffb96a23456e22ab1ab4381a5e6369',
        '70df647ae95586f45716a1224c029741c622d77b1bad2a233f7e7194e593ad4d',
        '74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b',
        '7526c6e7e976745abb3aa27c5eb0a1002637e55eaeda2da59f8cbb80ea916f88',
        '8290b86681ecf225cb89535a606aa740e923a6fb1575c736423288bd1f0b98bd',
        '84e0c0eafaa95a34c293f278ac52e45ce537bab5e752a00e6959a13ae103b65a',
        '8ab60881072b62721284dd0081f2a14de0bbf755fa88c55ddd64a319bb23a734',
        '9060c2f9826ed059eaf0bc719ed85f230db17285e7d800f22983f640e6e62a08',
        '92be514e71365b40cf1e1384cac43ae34a9e2c8968049a61ae4873857e36b212',
        '973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b',
        '9b2d5b4678781e53038e91ea5324530a03f27dc1d0e5f6c9bc9d493a23be9de0',
        '9fa201b69cd7f7c132424ffe4803531fee6ff7e24ef5b01ac41065098c0f9fde',
        'a1d0ba9a57bb4555e02f7803d05c78e34e2c6b38de04230b32b7391cc1483e3f',
        'a4789d6518cd718c01aa201a90e2143936c9000a4ca4dde4794efd7ade6469f4',
        'a5f4af0c6d3124da59c9150843fa31860ff223db545cce13bba6d3b677914765',
        'a683c5c5349f6f7fb903ba8a9e7e55d0ba1b8f03579f95be83f4954c33e81098',
        'a7f668b3553a265332ed1ba96eb24ed178903537661ff0b41245264daf86ee97',
        'a80e516bfb196e1c48a9acbe39da8fceb6bc82e0d991b8a990b8f3239c7efaed',
        'aafe35820e3ee46b943f3397ff3fc462a73b8d20ca402918bd21e10729a46683',
        'b23a6a8439c0dde5515893e7c90c1e3233b8616e634470f20dc4928bcf3609bc',
        'b460b79e4bfbaefde51fa7d10a935bc604cd77aef3aa6a81ba91fe0bcd57e04c',
        'b582d3167c70c098fdfefc2c847a1aae83150febc4602a51ef83a84a175d417c',
        'b764cdc0eab7137467211272fa539f1260d1bf2e71bcf6ff3bdc960f5c16aa14',
        'bc34f262c93ad7122763684ccea6f07fb7f5d8a2d11e60ce15a6f43fe70ce632',
        'c24a57ebef806ddb09364aab54d467bd1cd6cde0ded87b08fc40ce76c1b05f65',
        'c627c09c14e58e44bc51622dac392958ec88244e414b508020634f53cfcd1e69',
        'ca871b3caae791a6a4b969195738f187bc7e993d13e98d522153a21885557fb6',
        'cc797350372efbf86b1831341f133daf92c404b8a140921d70b1d61e81601deb',
        'ce4f9c67265203d70b0a188e2af36d8946218b2cd648ba04f02838fcab0e8d27',
        'cff5e591ae49c2ac9938c54de1799c5bc264a7b036f3ba60104696117c97d973',
        'd54f0ce7ae1a206da65a0d857dc0fd5b079ba8d8d300a4e0d749d8633ece10b8',
        'd5b592c05dc25b5032553f1b27f4139be95e881f73db33b02b05ab20c3f9981e',
        'd8156bae0c4243d3742fc4e9774d8aceabe0410249d720c855f98afc88ff846c',
        'dc937b59892604f5a86ac96936cd7ff09e25f18ae6b758e8014a24c7fa039e91',
        'e118b5c29cb4b975251601a6cc3209a4ea3eb0b429b205b679a8645da47da654',
        'e2f79e5b60330bba4c289962231b6ba2957d0b14e7deb3110417003c79dea635',
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        'eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c',
        'f02dfb7da82a40b055700e27ce61e0b3ad10985137f721e7a2c62b3dc3fbaf31',
        'f547e86ec41bb7471b38aecf06384c5133f21daa9ea4b0aec9cd8e0cf0a9876c',
        'f660ab912ec121d1b1e928a0bb4bc61b15f5ad44d5efdc4e1c92a25e99b8e44a',
        'f6a5342a23d1833e47600add92527425812bca29b19cec46824a15ce8baecb40',
        'fa1d2db62d4d952e2031452e1bc1ddcad0b192c2e29a706f11ce426ae5acddea',
        'fb329000228cc5a24c264c57139de8bf854fc86fc18bf1c04ab61a2b5cb4b921') THEN 'hash_of_nothing'
      ELSE lowered END
    WHEN regexp_like(text, '\A([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40})\z') THEN 'unsupported_hash'
    WHEN type = 'email' AND regexp_like(text, '[\x{3a3}\x{2c2f}\x{2c5f}\x{a7c0}\x{a7c1}\x{a7cb}-\x{a7dc}\x{10570}-\x{105bf}\x{10d50}-\x{10d85}]') THEN 'unsure'
    WHEN type = 'email' AND length(to_hex(to_utf8(lowered))) > 508 THEN 'too_long'
    WHEN regexp_like(text, '[\x{0}-\x{20}\x{2c}\x{7f}-\x{a0}\x{1680}\x{180e}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{2064}\x{2066}-\x{2069}\x{3000}\x{feff}]') THEN 'contains_separator'
    WHEN type = 'email' THEN CASE
      WHEN regexp_like(lowered, '\A[^@]+@[^@.]+(\.[^@.]+)+\z') THEN lower(to_hex(sha256(to_utf8(lowered))))
      ELSE 'not_an_email' END
    WHEN NOT regexp_like(text, '\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z') THEN 'not_a_device_id'
    WHEN type = 'idfa' THEN lower(to_hex(sha256(to_utf8(upper(text)))))
    ELSE lower(to_hex(sha256(to_utf8(lowered)))) END AS answer
  FROM (
    -- Python lowers a capital I with a dot to two characters, Trino to one.
    SELECT type, value, text, lower(replace(text, U&'\0130', U&'i\0307')) AS lowered
    FROM (
      SELECT type, value, trim(BOTH U&'\0009\000a\000b\000c\000d\001c\001d\001e\001f\0020\0085\00a0\1680\180e\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\200b\200c\200d\200e\200f\2028\2029\202a\202b\202c\202d\202e\202f\205f\2060\2061\2062\2063\2064\2066\2067\2068\2069\3000\feff' FROM value) AS text
      FROM (SELECT 'email' AS type, email AS value FROM people WHERE opted_in))
  )
)
