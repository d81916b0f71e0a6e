using Platform.TestSupport;

namespace Platform.AppHost.Tests.Scripts;

public sealed class LintTests
{
    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Shell_scripts_pass_shellcheck()
    {
        var (_, listed, _) = await Tool.RunAsync("git", ["ls-files", "-z"], RepositoryRoot.Path);
        var scripts = listed.Split('\0', StringSplitOptions.RemoveEmptyEntries).Where(IsScript).ToArray();
        scripts.ShouldContain("eng/postgres/serve");

        await PassesAsync("shellcheck", ["--severity=warning", "--external-sources", .. scripts]);
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Prometheus_rules_and_alerts_pass_promtool() => await PassesAsync("bash", ["deploy/prometheus/check"]);

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Code_is_formatted() => await PassesAsync("dotnet", ["format", "Platform.sln", "--no-restore", "--verify-no-changes"]);

    private static bool IsScript(string file)
    {
        var path = Path.Combine(RepositoryRoot.Path, file);
        return File.Exists(path) && File.ReadLines(path).FirstOrDefault() is { } first
            && (first.StartsWith("#!/bin/sh", StringComparison.Ordinal) || first.StartsWith("#!/usr/bin/env bash", StringComparison.Ordinal));
    }

    private static async Task PassesAsync(string program, string[] arguments)
    {
        var (code, output, error) = await Tool.RunAsync(program, arguments, RepositoryRoot.Path);
        code.ShouldBe(0, customMessage: output + error);
    }
}
