using System.Text;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Postgres.Tests;

/// <summary>Starts a service with the defaults, a database and the endpoints of the test.</summary>
internal static class DatabaseApp
{
    public const string Token = "token-of-the-tests";

    public static async Task<TestApp> StartAsync(
        string connectionString,
        Action<WebApplicationBuilder>? configure = null,
        Action<WebApplication>? map = null,
        Dictionary<string, string?>? settings = null,
        int? port = null,
        bool waitForMigrations = true)
    {
        var app = await TestApp.StartAsync(
            builder =>
            {
                builder.AddServiceDefaults();
                builder.AddPostgres("test-db");
                configure?.Invoke(builder);
            },
            app =>
            {
                app.UseServiceDefaults();
                app.MapDefaultEndpoints();
                map?.Invoke(app);
            },
            new Dictionary<string, string?>
            {
                ["InternalToken"] = Token,
                ["ConnectionStrings:test-db"] = connectionString,
                // A busy machine must not be mistaken for an unavailable database.
                ["Database:ConnectTimeout"] = "30",
            }.Concat(settings ?? []).GroupBy(setting => setting.Key).ToDictionary(setting => setting.Key, setting => setting.Last().Value),
            port: port);
        app.Client.DefaultRequestHeaders.Add("X-Internal-Token", Token);
        if (waitForMigrations)
        {
            await app.Get<DatabaseMigrations>().WaitAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60));
        }

        return app;
    }

    public static StringContent Json(string json, string mediaType = "application/json") => new(json, Encoding.UTF8, mediaType);

    public static async Task<T> ScalarAsync<T>(this NpgsqlDataSource dataSource, string sql, object? parameters = null)
    {
        await using var connection = await dataSource.OpenConnectionAsync();
        return (await connection.ExecuteScalarAsync<T>(sql, parameters))!;
    }

    public static async Task<IReadOnlyList<T>> ListAsync<T>(this NpgsqlDataSource dataSource, string sql, object? parameters = null)
    {
        await using var connection = await dataSource.OpenConnectionAsync();
        return (await connection.QueryAsync<T>(sql, parameters)).AsList();
    }

    public static async Task ExecuteAsync(this NpgsqlDataSource dataSource, string sql, object? parameters = null)
    {
        await using var connection = await dataSource.OpenConnectionAsync();
        await connection.ExecuteAsync(sql, parameters);
    }
}
