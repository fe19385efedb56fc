// Only what is free of the page is tested here: connection, protocol and model, against a fake
// kernel. What a person sees is tested in a browser (tests/ui of the Python package).
module.exports = {
  testEnvironment: 'node',
  testRegex: 'src/__tests__/.*\\.spec\\.ts$',
  collectCoverageFrom: [
    'src/connection/**/*.ts',
    'src/model/**/*.ts',
    'src/protocol/**/*.ts'
  ],
  coverageReporters: ['text', 'lcov'],
  coverageThreshold: { global: { lines: 90 } }
};
